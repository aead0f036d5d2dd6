//! Azure Key Vault keys, Entra ID and IMDS on loopback, for development and tests.
//!
//! Never linked into the daemon. Real TLS under a CA of its own, real RSA, tokens that are signed and checked, and
//! the error bodies and headers that were recorded from the real services. Holds a known secret, so it listens on
//! loopback only.
//!
//! ```text
//! server (TCP, TLS, HTTP/1.1 and HTTP/2) ─▶ vault    keys, by Host; entra by its own host  (both under faults:
//!                                                    misbehave)
//!                                        ─▶ imds     under faults too
//!                                        ─▶ proxy    vault and entra, by path and header
//!                                        ─▶ control  statistics, faults, rotation, permissions, challenge, credentials,
//!                                                    clock
//! clouds (under which hosts the vault and entra are)
//! state  (the state behind all of them; what lasts is kept in a folder)
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod application;
mod certificate;
mod client_files;
mod clock;
pub mod clouds;
mod connect;
mod control;
mod entra;
mod fault_injection;
mod faults;
mod hung_connections;
mod ids;
mod imds;
mod issuer;
mod jwt;
mod keys;
mod permissions;
mod proxy;
mod recovery;
mod reply;
mod rsa;
mod server;
mod state;
mod state_file;
mod stats;
pub mod testing;
mod tls;
mod tokens;
mod vault;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use application::{Application, ClientSecret, Federated};
pub use client_files::Info;
pub use connect::ConnectProxy;
pub use faults::{BodyFault, FaultSet, Faults, Unauthorized};
pub use issuer::{FederatedToken, ISSUER};
pub use keys::KeyPatch;
pub use permissions::{PermissionModel, Permissions};
pub use recovery::RecoveryLevel;
pub use state::Challenge;
pub use stats::{Answered, Stats};

use axum::body::Body;
use axum::extract::Request;
use keys::Change;
use server::{Server, Tls};
use state::State;

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
    /// The proxy of proxy mode (plain HTTP).
    pub proxy_listen: Option<SocketAddr>,
}

impl Options {
    /// Keeps its keys in that folder and picks free ports.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self { dir, listen: None, imds_listen: None, control_listen: None, proxy_listen: None }
    }
}

/// A running emulator. Ends when dropped.
pub struct Emulator {
    state: Arc<State>,
    info: Info,
    servers: [Server; 4],
}

impl Emulator {
    /// Starts, writes the files of [`Info`] into the folder, and is ready when it returns.
    ///
    /// # Errors
    /// An address is not loopback or is taken, or the folder cannot be used.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let dir = folder(&options.dir)?;
        let state = Arc::new(State::open(&dir)?);
        let tls = Some(Tls { acceptor: tls::acceptor(&dir)?, state: state.clone() });
        let tls = Server::start(options.listen, tls, with(&state, vault::front)).await?;
        let imds = Server::start(options.imds_listen, None, with(&state, imds::handle)).await?;
        let control = Server::start(options.control_listen, None, with(&state, control::handle)).await?;
        let proxy = Server::start(options.proxy_listen, None, with(&state, proxy::handle)).await?;
        let servers = [tls, imds, control, proxy];
        let info = Info::new(&state, &dir, servers.each_ref().map(Server::addr));
        info.write(&dir)?;
        Ok(Self { state, info, servers })
    }

    /// What clients need to know; the content of `emulator.json`.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Makes the services misbehave from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.faults.set(faults);
    }

    /// Ends all misbehaviour.
    pub fn clear_faults(&self) {
        self.state.faults.set(Faults::default());
    }

    /// What was called since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.state.stats.snapshot()
    }

    /// The vaults' latest answers since then, oldest first.
    pub fn answers(&self) -> Vec<Answered> {
        self.state.stats.answers()
    }

    /// Starts counting anew, and forgets the answers.
    pub fn reset_stats(&self) {
        self.state.stats.reset();
    }

    /// Makes a new version of the key, and returns it.
    ///
    /// # Errors
    /// There is no such key.
    pub fn rotate(&self, key: &str) -> Result<String, Error> {
        rotate(&self.state, key)
    }

    /// Changes the attributes of one version.
    ///
    /// # Errors
    /// There is no such key or version.
    pub fn update_key(&self, key: &str, version: &str, patch: KeyPatch) -> Result<(), Error> {
        change(&self.state, key, version, patch.into())
    }

    /// Replaces what each principal (client id) may do; others may do everything.
    pub fn set_permissions(&self, permissions: Permissions) {
        self.state.set_permissions(permissions);
    }

    /// By what vaults decide from now on who may do what.
    pub fn set_permission_model(&self, model: PermissionModel) {
        self.state.set_permission_model(model);
    }

    /// How many seconds the `Date` of every service's answers is ahead of this machine's clock from now on, or behind
    /// it if negative. Tokens and keys keep to this machine's clock.
    pub fn set_clock_offset(&self, seconds: i32) {
        self.state.clock.set_offset(seconds);
    }

    /// Changes the credentials of the application in Entra ID, in later runs too.
    ///
    /// # Errors
    /// A certificate cannot be read; nothing is changed then.
    pub fn set_application(&self, application: Application) -> Result<(), Error> {
        self.state.set_application(application)
    }

    /// A token of the cluster's issuer, as a pod gets it from Kubernetes.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn federated_token(&self, token: &FederatedToken) -> Result<String, Error> {
        federated_token(&self.state, token)
    }

    /// In which of its forms vaults send their challenge from now on.
    pub fn set_challenge(&self, challenge: Challenge) {
        self.state.set_challenge(challenge);
    }

    /// Every connection that is open now stays open, and no request on it for a vault is answered any more.
    pub fn hang_connections(&self) {
        self.state.hung_connections.hang();
    }

    /// Every token issued until now gets a 401.
    pub fn revoke_tokens(&self) {
        let _ = self.state.revoke_tokens(); // holds in this run even if it cannot be kept
    }

    /// How long tokens issued from now on are valid.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.state.tokens.set_lifetime(lifetime);
    }

    /// Stops listening and closes every connection.
    pub async fn shutdown(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

/// The handler, with the state.
fn with<A>(
    state: &Arc<State>,
    handle: fn(Arc<State>, Request<Body>) -> A,
) -> impl Fn(Request<Body>) -> A + Clone + use<A> {
    let state = state.clone();
    move |request| handle(state.clone(), request)
}

/// The folder, which is made if there is none, by a path that holds wherever it is read.
fn folder(dir: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(dir).map_err(|error| state_file::about(dir, error))?;
    let dir = dir.canonicalize().map_err(|error| state_file::about(dir, error))?;
    match dir.to_str() {
        Some(_) => Ok(dir),
        None => Err(state_file::about(&dir, "the path is not UTF-8, so files cannot name it")),
    }
}

fn rotate(state: &State, key: &str) -> Result<String, Error> {
    let made = state.rotate(key)?.ok_or_else(|| Error(format!("there is no key {key:?}")))?;
    Ok(made.version.version)
}

fn federated_token(state: &State, token: &FederatedToken) -> Result<String, Error> {
    let key = state.issuer_key()?;
    token.sign(&key)
}

fn change(state: &State, key: &str, version: &str, change: Change) -> Result<(), Error> {
    let missing = || Error(format!("there is no version {version:?} of a key {key:?}"));
    state.change(key, Some(version), change)?.ok_or_else(missing).map(drop)
}
