//! Azure Key Vault keys, Entra ID and IMDS on loopback, for development and tests.
//!
//! Never linked into the daemon. Real TLS under a CA of its own, real RSA, tokens that are signed and checked, and
//! the error bodies and headers that were recorded from the real services. Holds a known secret, so it listens on
//! loopback only.
//!
//! ```text
//! server (TCP, TLS, HTTP/1.1) ─▶ vault    keys by Host, and entra by its host
//!                             ─▶ imds
//!                             ─▶ control  statistics, faults, rotation, permissions
//! world  (the state behind all of them, kept in a folder)
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod control;
mod entra;
mod faults;
mod imds;
mod info;
mod reply;
mod rsa;
mod server;
mod stats;
mod tls;
mod tokens;
mod vault;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use faults::{BodyFault, FaultSet, Faults, Unauthorized};
pub use info::Info;
pub use stats::Stats;
pub use world::{KeyPatch, Permissions};

use server::Server;
use world::World;

/// Why the emulator does not start, or refuses a change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(crate) String);

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Where to keep keys, and where to listen. `None` picks a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keeps the keys, and gets the files that clients read.
    pub dir: PathBuf,
    /// Key Vault and Entra ID (TLS).
    pub listen: Option<SocketAddr>,
    /// IMDS (plain HTTP).
    pub imds_listen: Option<SocketAddr>,
    /// The control API (plain HTTP).
    pub control_listen: Option<SocketAddr>,
}

impl Options {
    /// Keeps its keys in that folder and picks free ports.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), listen: None, imds_listen: None, control_listen: None }
    }
}

/// A running emulator. Ends when dropped.
pub struct Emulator {
    world: Arc<World>,
    info: Info,
    servers: [Server; 3],
}

impl Emulator {
    /// Starts, writes the files of [`Info`] into the folder, and is ready when it returns.
    ///
    /// # Errors
    /// An address is not loopback or is taken, or the folder cannot be used.
    pub async fn start(options: Options) -> Result<Self, Error> {
        std::fs::create_dir_all(&options.dir)?;
        let world = Arc::new(World::open(&options.dir)?);
        let acceptor = tls::acceptor(&options.dir)?;
        let (front, entra_or_vault) = (world.clone(), Some(acceptor));
        let tls = Server::start(options.listen, entra_or_vault, move |request| {
            vault::front(front.clone(), request)
        });
        let tls = tls.await?;
        let state = world.clone();
        let imds =
            Server::start(options.imds_listen, None, move |request| imds::handle(state.clone(), request));
        let imds = imds.await?;
        let state = world.clone();
        let control = Server::start(options.control_listen, None, move |request| {
            control::handle(state.clone(), request)
        });
        let control = control.await?;
        let info = Info::new(&world, &options.dir, [tls.addr(), imds.addr(), control.addr()]);
        info.write(&options.dir)?;
        Ok(Self { world, info, servers: [tls, imds, control] })
    }

    /// What clients need to know; the content of `emulator.json`.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Makes the services misbehave from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world.faults.set(faults);
    }

    /// Ends all misbehaviour.
    pub fn clear_faults(&self) {
        self.world.faults.set(Faults::default());
    }

    /// What was called since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.world.stats.snapshot()
    }

    /// Starts counting anew.
    pub fn reset_stats(&self) {
        self.world.stats.reset();
    }

    /// Makes a new version of the key, and returns it.
    ///
    /// # Errors
    /// There is no such key.
    pub fn rotate(&self, key: &str) -> Result<String, Error> {
        self.world.rotate(key)
    }

    /// Changes the attributes of one version.
    ///
    /// # Errors
    /// There is no such key or version.
    pub fn update_key(&self, key: &str, version: &str, patch: KeyPatch) -> Result<(), Error> {
        self.world.update(key, version, &patch)
    }

    /// Replaces what each principal (client id) may do; others may do everything.
    pub fn set_permissions(&self, permissions: Permissions) {
        self.world.set_permissions(permissions);
    }

    /// Every token issued until now gets a 401.
    pub fn revoke_tokens(&self) {
        self.world.tokens.revoke_all();
    }

    /// How long tokens issued from now on are valid.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.world.tokens.set_lifetime(lifetime);
    }

    /// Stops listening and closes every connection.
    pub async fn shutdown(self) {
        let [tls, imds, control] = self.servers;
        tls.stop().await;
        imds.stop().await;
        control.stop().await;
    }
}
