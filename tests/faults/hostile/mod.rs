//! Clients that mean harm, or are broken: each costs itself an error, the others nothing, and the daemon little memory.

mod attack;
mod calls;
mod connections;
mod headers;
mod resets;
mod slow;
mod wire;

use crate::harness::{Daemon, Load, Start, Vault};
use attack::Raw;

/// What the daemon may hold in memory, whatever is done to it.
const MOST_KIB: u64 = 64 * 1024;

/// What a client calls the server: one name that h2 takes, and one that our own adapter rewrites.
const AUTHORITIES: [&str; 2] = ["localhost", "%2Fopt%2Fazurekms.socket"];

/// A daemon under attack, and a client of it that means no harm.
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

    /// A connection that has said hello.
    async fn connect(&self) -> Raw {
        Raw::connect(&self.daemon).await
    }

    /// So many of them.
    async fn connect_many(&self, count: usize) -> Vec<Raw> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.connect().await);
        }
        all
    }

    /// The attack goes on: the bystander is served all the same, and the daemon has never held too much memory.
    async fn stands(&self) {
        self.bystander.more_round_trips(3).await;
        is_small(&self.daemon);
    }

    /// The attack is over: nothing that the bystander asked has failed since the start, and newcomers are served.
    async fn stood(self) {
        self.stands().await;
        self.daemon.client().with_test_timeout().round_trips().await.unwrap();
        let (_, failures) = self.bystander.stop().await;
        assert!(failures.is_empty(), "{failures:?}");
    }
}

/// The daemon has never held too much memory.
fn is_small(daemon: &Daemon) {
    let peak = daemon.process.peak_kib().unwrap();
    assert!(peak < MOST_KIB, "{peak} KiB");
}

/// The soft limit on open files is often 1,024, which is less than what some attacks hold.
fn open_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
