//! Azure Key Vault keys, Entra ID and IMDS on loopback, for development and tests.
//!
//! Never linked into the daemon. It has TLS under a CA of its own, RSA keys, signed tokens that are validated, and the
//! error bodies and headers that were recorded from the real services. Its control API authenticates nobody, so it
//! listens on loopback only.
//!
//! ```text
//! server (TCP, TLS, HTTP/1.1 and HTTP/2) ─▶ virtual_hosts  vault and entra, by host
//!                                        ─▶ proxy          vault and entra, by header and path
//!                                        ─▶ imds
//!                                        ─▶ control        statistics, faults, rotation, permissions, challenge,
//!                                                          credentials, clock
//! vault, entra and imds ─▶ fault_injection  what faults do to a request and its response
//! clouds      the hosts of vaults and of Entra ID
//! state       the state behind all services
//! state_file  its part that outlasts a run
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
mod error;
mod fault_injection;
mod faults;
mod files;
mod hung_connections;
mod ids;
mod imds;
mod issuer;
mod jwt;
mod keys;
mod permissions;
mod proxy;
mod recovery;
mod response;
mod rsa;
mod server;
mod state;
mod state_file;
mod stats;
pub mod testing;
mod tls;
mod tokens;
mod vault;
mod virtual_hosts;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use application::{Application, ClientSecret, Federated};
pub use client_files::Info;
pub use connect::ConnectProxy;
pub use error::Error;
pub use faults::{BodyFault, FaultSet, Faults, Unauthorized};
pub use issuer::{FederatedToken, ISSUER};
pub use keys::KeyPatch;
pub use permissions::{PermissionModel, Permissions};
pub use recovery::RecoveryLevel;
pub use state::Challenge;
pub use stats::{RecordedResponse, Stats};

use axum::body::Body;
use axum::extract::Request;
use files::file_error;
use server::{Server, Tls};
use state::State;

/// The folder and the addresses of an emulator. `None` picks a free port of 127.0.0.1; others must be loopback.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the state, and of the files that clients read. It is created if it does not exist.
    pub dir: PathBuf,
    /// Address of Key Vault and Entra ID (TLS).
    pub listen: Option<SocketAddr>,
    /// Address of IMDS (plain HTTP).
    pub imds_listen: Option<SocketAddr>,
    /// Address of the control API (plain HTTP).
    pub control_listen: Option<SocketAddr>,
    /// Address of the proxy of proxy mode (plain HTTP).
    pub proxy_listen: Option<SocketAddr>,
}

impl Options {
    /// Returns the options of that folder and of free ports.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self { dir, listen: None, imds_listen: None, control_listen: None, proxy_listen: None }
    }
}

/// A running emulator. It stops when it is dropped.
pub struct Emulator {
    /// The state behind all services.
    state: Arc<State>,
    /// The content of `emulator.json`.
    info: Info,
    /// TLS, IMDS, control API and proxy.
    servers: [Server; 4],
}

impl Emulator {
    /// Starts all servers and writes the files that clients read into the folder. It is ready when this returns.
    ///
    /// # Errors
    /// An address is not loopback or in use, the folder's path is not UTF-8, its files cannot be read or written, or
    /// its `state.json` is not that of an emulator.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let dir = folder(&options.dir)?;
        let state = Arc::new(State::open(&dir)?);
        let tls = Some(Tls { acceptor: tls::acceptor(&dir)?, state: state.clone() });
        let tls = Server::start(options.listen, tls, with(&state, virtual_hosts::handle)).await?;
        let imds = Server::start(options.imds_listen, None, with(&state, imds::handle)).await?;
        let control = Server::start(options.control_listen, None, with(&state, control::handle)).await?;
        let proxy = Server::start(options.proxy_listen, None, with(&state, proxy::handle)).await?;
        let servers = [tls, imds, control, proxy];
        let info = Info::new(&state, &dir, servers.each_ref().map(Server::addr));
        info.write(&dir)?;
        Ok(Self { state, info, servers })
    }

    /// Returns addresses, identities and files that clients need: the content of `emulator.json`.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Replaces the faults of all services.
    pub fn set_faults(&self, faults: Faults) {
        self.state.faults.set(faults);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.state.faults.set(Faults::default());
    }

    /// Returns the counts since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.state.stats.snapshot()
    }

    /// Returns the vaults' latest responses since then, at most 100,000, oldest first.
    pub fn responses(&self) -> Vec<RecordedResponse> {
        self.state.stats.responses()
    }

    /// Sets all counts to zero and drops the responses.
    pub fn reset_stats(&self) {
        self.state.stats.reset();
    }

    /// Creates a version of the key like the newest, and returns its identifier.
    ///
    /// # Errors
    /// There is no such key, or the state cannot be saved.
    pub fn rotate(&self, key: &str) -> Result<String, Error> {
        control::rotate(&self.state, key)
    }

    /// Changes the attributes of a key version.
    ///
    /// # Errors
    /// There is no such key or version, or the state cannot be saved.
    pub fn update_key(&self, key: &str, version: &str, patch: KeyPatch) -> Result<(), Error> {
        control::change_key(&self.state, key, version, patch.into())
    }

    /// Replaces the permissions of all principals (client ids). An absent principal may perform every operation.
    pub fn set_permissions(&self, permissions: Permissions) {
        self.state.set_permissions(permissions);
    }

    /// Sets the permission model of the vaults. Managed HSMs always have roles.
    pub fn set_permission_model(&self, model: PermissionModel) {
        self.state.set_permission_model(model);
    }

    /// Shifts the `Date` of every service's responses by that many seconds from this machine's clock; a negative number
    /// puts it behind. Tokens and keys use this machine's clock.
    pub fn set_clock_offset(&self, seconds: i32) {
        self.state.clock.set_offset(seconds);
    }

    /// Changes the application's credentials in Entra ID, in later runs too.
    ///
    /// # Errors
    /// A certificate cannot be parsed or its key is not RSA, and nothing is changed; or the state cannot be saved.
    pub fn set_application(&self, application: Application) -> Result<(), Error> {
        self.state.set_application(application)
    }

    /// Signs a token of the cluster's issuer, as a pod gets it from Kubernetes.
    ///
    /// # Errors
    /// The cryptographic library fails, or the issuer's new key cannot be saved.
    pub fn federated_token(&self, token: &FederatedToken) -> Result<String, Error> {
        control::federated_token(&self.state, token)
    }

    /// Sets the form of the vaults' challenge.
    pub fn set_challenge(&self, challenge: Challenge) {
        self.state.set_challenge(challenge);
    }

    /// Makes every TLS connection that exists now hang: it stays open, and no request to a vault on it gets a response.
    pub fn hang_connections(&self) {
        self.state.hung_connections.hang_all();
    }

    /// Revokes every token issued until now: it gets a 401.
    pub fn revoke_tokens(&self) {
        let _ = self.state.revoke_tokens(); // holds in this run even if it cannot be saved
    }

    /// Sets the lifetime of tokens issued from now on; counts whole seconds.
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

/// Binds a handler to the state.
fn with<A>(
    state: &Arc<State>,
    handle: fn(Arc<State>, Request<Body>) -> A,
) -> impl Fn(Request<Body>) -> A + Clone + use<A> {
    let state = state.clone();
    move |request| handle(state.clone(), request)
}

/// Creates the folder if there is none, and returns its absolute path.
///
/// # Errors
/// It cannot be created, or its path is not UTF-8.
fn folder(dir: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(dir).map_err(|error| file_error(dir, error))?;
    let dir = dir.canonicalize().map_err(|error| file_error(dir, error))?;
    if dir.to_str().is_none() {
        return Err(file_error(&dir, "the path is not UTF-8, so files cannot name it"));
    }
    Ok(dir)
}
