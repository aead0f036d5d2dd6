//! Malicious and broken clients: each gets an error, the others are served, and the daemon needs little memory.

mod attack;
mod calls;
mod connections;
mod headers;
mod resets;
mod slow;
mod wire;

use crate::harness::{Daemon, Load, Start, Vault};
use attack::Raw;

/// The limit on the daemon's memory under any attack, in KiB.
const MOST_KIB: u64 = 64 * 1024;

/// The authorities that clients send: one that h2 accepts, and one that our own adapter rewrites.
const AUTHORITIES: [&str; 2] = ["localhost", "%2Fopt%2Fazurekms.socket"];

/// A daemon under attack, and a well-behaved client of it.
struct Target {
    vault: Vault,
    daemon: Daemon,
    bystander: Load,
}

impl Target {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(flags: &[&str]) -> Self {
        let vault = Vault::start().await;
        let daemon = flags.iter().copied().fold(vault.daemon(), Start::arg).healthy().await;
        let bystander = Load::of(std::iter::once(daemon.client().with_test_timeout()));
        bystander.more_round_trips(1).await;
        Self { vault, daemon, bystander }
    }

    /// Opens a connection, and sends the connection preface.
    async fn connect(&self) -> Raw {
        Raw::connect(&self.daemon).await
    }

    /// Opens that many connections, as [`Self::connect`] does.
    async fn connect_many(&self, count: usize) -> Vec<Raw> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.connect().await);
        }
        all
    }

    /// Checks that during the attack the bystander is served, and the daemon's memory stays within the limit.
    async fn check_serving(&self) {
        self.bystander.more_round_trips(3).await;
        check_memory(&self.daemon);
    }

    /// Checks that after the attack new clients are served, and that no call of the bystander has failed since the
    /// start.
    async fn check_survived(self) {
        self.check_serving().await;
        self.daemon.client().with_test_timeout().round_trips().await.unwrap();
        let (_, failures) = self.bystander.stop().await;
        assert!(failures.is_empty(), "{failures:?}");
    }
}

/// Checks that the daemon's memory has never exceeded the limit.
fn check_memory(daemon: &Daemon) {
    let peak = daemon.process.peak_kib().unwrap();
    assert!(peak < MOST_KIB, "{peak} KiB");
}

/// Raises the soft limit on open files: it is often 1,024, less than some attacks need.
fn open_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
