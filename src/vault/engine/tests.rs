//! The engine against a scripted vault, in paused time.

mod circuit_breaker;
mod coalescing;
mod hedge_limits;
mod hedging;
mod results;
mod retries;
mod tokens;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::*;
use crate::kms::{Code, Plaintext, Receipt};
use crate::vault::{RefreshFailure, RejectedTokens, Token, TokenError, TokenState};

const URL: &str = "https://emulator.vault.azure.net/keys/k8s/0123456789abcdef0123456789abcdef";

/// A vault that answers with the scripted failures, one for each call, then succeeds. Its first connections may be silent.
struct Scripted {
    failures: Mutex<VecDeque<VaultError>>,
    calls: Mutex<Vec<Instant>>,
    connections: AtomicUsize,
    silent_connections: usize,
    latency: Duration,
    kid: &'static str,
    length: usize,
}

/// A client of the scripted vault.
struct Connection {
    vault: Arc<Scripted>,
    is_silent: bool,
}

impl Connection {
    /// Records the call, and answers after the latency.
    ///
    /// # Errors
    /// The next failure of the script, if there is one left.
    async fn answer<T>(&self, value: T) -> Result<T, VaultError> {
        self.vault.calls.lock().unwrap().push(Instant::now());
        if self.is_silent {
            std::future::pending::<()>().await;
        }
        sleep(self.vault.latency).await;
        match self.vault.failures.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }
}

#[async_trait]
impl Vault for Connection {
    async fn encrypt(
        &self,
        _: &KeyVersion,
        _: Algorithm,
        _: &Plaintext,
    ) -> Result<EncryptResult, VaultError> {
        let Scripted { kid, length, .. } = *self.vault;
        let answer = EncryptResult { kid: kid.into(), value: vec![7; length], receipt: Receipt::default() };
        self.answer(answer).await
    }

    async fn decrypt(&self, _: &KeyVersion, _: Algorithm, _: &[u8]) -> Result<Decrypted, VaultError> {
        let plaintext = Plaintext::new(b"decrypted".to_vec());
        self.answer(Decrypted { plaintext, request_id: String::new() }).await
    }

    async fn modulus_len(&self, _: &KeyVersion) -> Result<usize, VaultError> {
        self.answer(384).await
    }
}

struct Bench {
    engine: Engine,
    vault: Arc<Scripted>,
    tokens: watch::Sender<TokenState>,
    rejected: RejectedTokens,
    key: Arc<KeyVersion>,
    metrics: Arc<Metrics>,
    shared: Arc<SharedState>,
    start: Instant,
}

fn failing(status: u16, failure: Failure) -> VaultError {
    VaultError { status: Some(status), ..VaultError::without_answer(failure) }
}

fn token(serial: u64) -> TokenState {
    let value = Token::new(serial, "token".into(), SystemTime::now() + Duration::from_secs(3600));
    TokenState { token: Some(value), refresh_failure: None, credential_number: 0 }
}

fn bench_of(vault: Scripted) -> Bench {
    limited_bench(vault, 1000, 1000)
}

/// Makes a bench with a limit of `qps` calls a second after a burst of `burst`.
fn limited_bench(vault: Scripted, qps: u32, burst: u32) -> Bench {
    let vault = Arc::new(vault);
    let (tokens, receiver) = watch::channel(token(1));
    let rejected = RejectedTokens::none();
    let reader = TokenReader::new(receiver, rejected.clone());
    let [qps, burst] = [qps, burst].map(|number| NonZeroU32::new(number).unwrap());
    let shared = Arc::new(SharedState::new(qps, burst));
    let metrics = Arc::new(Metrics::new());
    let connect = {
        let vault = vault.clone();
        move || {
            let number = vault.connections.fetch_add(1, Ordering::SeqCst);
            let is_silent = number < vault.silent_connections;
            Ok(Arc::new(Connection { vault: vault.clone(), is_silent }) as Arc<dyn Vault>)
        }
    };
    let engine = Engine::new(Arc::new(connect), reader, shared.clone(), metrics.clone()).unwrap();
    let key = Arc::new(KeyVersion::new(URL, "k8s", "0123456789abcdef0123456789abcdef"));
    Bench { engine, vault, tokens, rejected, key, metrics, shared, start: Instant::now() }
}

fn scripted() -> Scripted {
    Scripted {
        failures: Mutex::default(),
        calls: Mutex::default(),
        connections: AtomicUsize::new(0),
        silent_connections: 0,
        latency: Duration::ZERO,
        kid: URL,
        length: 256,
    }
}

fn bench(failures: impl IntoIterator<Item = VaultError>) -> Bench {
    let failures = Mutex::new(failures.into_iter().collect());
    bench_of(Scripted { failures, ..scripted() })
}

impl Bench {
    /// Encrypts 32 bytes within 3 s.
    ///
    /// # Errors
    /// The engine gives up: the scripted failures last too long, or the deadline passes.
    async fn encrypt(&self) -> Result<Encrypted, KmsError> {
        self.encrypt_within(Duration::from_secs(3)).await
    }

    /// Encrypts 32 bytes within that time.
    ///
    /// # Errors
    /// The engine gives up: the scripted failures last too long, or the deadline passes.
    async fn encrypt_within(&self, time: Duration) -> Result<Encrypted, KmsError> {
        let job = EncryptJob {
            key: self.key.clone(),
            algorithm: Algorithm::RsaOaep256,
            plaintext: Plaintext::new(vec![1; 32]),
            priority: Priority::Encrypt,
            deadline: Instant::now() + time,
        };
        self.engine.encrypt(&job).await
    }

    /// Decrypts within 3 s.
    ///
    /// # Errors
    /// The engine gives up: the scripted failures last too long, or the deadline passes.
    async fn decrypt(&self, ciphertext: &[u8]) -> Result<Plaintext, KmsError> {
        self.decrypt_within(Duration::from_secs(3), ciphertext).await
    }

    /// Decrypts within that time.
    ///
    /// # Errors
    /// The engine gives up: the scripted failures last too long, or the deadline passes.
    async fn decrypt_within(&self, time: Duration, ciphertext: &[u8]) -> Result<Plaintext, KmsError> {
        let job = DecryptJob {
            key: self.key.clone(),
            algorithm: Algorithm::RsaOaep256,
            ciphertext: Arc::new(ciphertext.to_vec()),
            priority: Priority::Decrypt,
            deadline: Instant::now() + time,
        };
        self.engine.decrypt(&job).await.map(|decrypted| decrypted.plaintext)
    }

    fn calls(&self) -> usize {
        self.vault.calls.lock().unwrap().len()
    }

    /// Returns the number of calls after `from` seconds and before `to` seconds.
    fn calls_between(&self, from: f64, to: f64) -> usize {
        let within = |sent: &&Instant| (from..to).contains(&(**sent - self.start).as_secs_f64());
        self.vault.calls.lock().unwrap().iter().filter(within).count()
    }

    fn hedges(&self) -> usize {
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix("azure_kms_key_vault_hedges_total "));
        value.unwrap().parse().unwrap()
    }
}
