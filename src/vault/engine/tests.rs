//! The engine against a scripted vault, in paused time.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::*;
use crate::kms::{Code, Receipt};
use crate::vault::{RefreshFailure, RejectedTokens, Token, TokenError, TokenState};

const URL: &str = "https://emulator.vault.azure.net/keys/k8s/0123456789abcdef0123456789abcdef";

/// Answers with the scripted failures, one a call, then succeeds. Its first connections may be silent.
struct Scripted {
    failures: Mutex<VecDeque<VaultError>>,
    calls: Mutex<Vec<Instant>>,
    connections: AtomicUsize,
    silent_connections: usize,
    latency: Duration,
    kid: &'static str,
    length: usize,
}

/// One client of it.
struct Connection {
    vault: Arc<Scripted>,
    is_silent: bool,
}

impl Connection {
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

    async fn modulus(&self, _: &KeyVersion) -> Result<usize, VaultError> {
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
    let vault = Arc::new(vault);
    let (tokens, receiver) = watch::channel(token(1));
    let rejected = RejectedTokens::none();
    let reader = TokenReader::new(receiver, rejected.clone());
    let thousand = NonZeroU32::new(1000).unwrap();
    let shared = Arc::new(SharedState::new(thousand, thousand));
    let metrics = Arc::new(Metrics::new());
    let connect = {
        let vault = vault.clone();
        move || {
            let number = vault.connections.fetch_add(1, Ordering::SeqCst);
            let is_silent = number < vault.silent_connections;
            Ok(Arc::new(Connection { vault: vault.clone(), is_silent }) as Arc<dyn Vault>)
        }
    };
    let engine = Engine::new(Arc::new(connect), reader, shared, metrics.clone()).unwrap();
    let key = Arc::new(KeyVersion::new(URL, "k8s", "0123456789abcdef0123456789abcdef"));
    Bench { engine, vault, tokens, rejected, key, metrics, start: Instant::now() }
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
    async fn encrypt(&self) -> Result<Encrypted, KmsError> {
        let job = EncryptJob {
            key: self.key.clone(),
            algorithm: Algorithm::RsaOaep256,
            plaintext: Plaintext::new(vec![1; 32]),
            priority: Priority::Encrypt,
            deadline: Instant::now() + Duration::from_secs(3),
        };
        self.engine.encrypt(&job).await
    }

    async fn decrypt(&self, ciphertext: &[u8]) -> Result<Plaintext, KmsError> {
        let job = DecryptJob {
            key: self.key.clone(),
            algorithm: Algorithm::RsaOaep256,
            ciphertext: Arc::new(ciphertext.to_vec()),
            priority: Priority::Decrypt,
            deadline: Instant::now() + Duration::from_secs(3),
        };
        self.engine.decrypt(&job).await.map(|decrypted| decrypted.plaintext)
    }

    fn calls(&self) -> usize {
        self.vault.calls.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_retried_and_the_caller_sees_only_latency() {
    let bench = bench([
        failing(503, Failure::ServerError),
        VaultError::without_answer(Failure::Unreachable),
        failing(429, Failure::Throttled),
    ]);
    assert!(bench.encrypt().await.is_ok());
    assert_eq!(bench.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_retried() {
    for (failure, code) in [
        (Failure::Forbidden, Code::PermissionDenied),
        (Failure::NotFound, Code::NotFound),
        (Failure::BadRequest, Code::InvalidArgument),
        (Failure::KeyUnusable, Code::FailedPrecondition),
        (Failure::OperationNotAllowed, Code::FailedPrecondition),
    ] {
        let bench = bench([failing(400, failure)]);
        assert_eq!(bench.encrypt().await.unwrap_err().code, code);
        assert_eq!(bench.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_the_deadline() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(2)), ..failing(429, Failure::Throttled) };
    let bench = bench([throttled]);
    assert!(bench.encrypt().await.is_ok());
    assert!(bench.start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn retry_after_past_the_deadline_fails_at_once_with_the_reason() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(3600)), ..failing(429, Failure::Throttled) };
    let bench = bench([throttled]);
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::ResourceExhausted);
    assert_eq!(bench.start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_retried_until_the_deadline_and_never_past_it() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 1000));
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::Unavailable);
    assert!(bench.start.elapsed() <= Duration::from_secs(3));
    assert!((3..=20).contains(&bench.calls()), "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_silent_vault_costs_the_deadline_and_no_more() {
    let bench = bench_of(Scripted { silent_connections: usize::MAX, ..scripted() });
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(bench.start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_401_rejects_the_token_and_the_call_goes_on_with_the_next_one() {
    let bench = Arc::new(bench([failing(401, Failure::Unauthorized)]));
    let mut rejections = bench.rejected.subscribe();
    let (encrypted, ()) = tokio::join!(bench.encrypt(), async {
        rejections.changed().await.unwrap();
        bench.tokens.send_replace(token(2));
    });
    assert!(encrypted.is_ok());
    assert_eq!((bench.calls(), bench.rejected.newest()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_second_401_rejects_the_second_token_too_and_without_a_third_it_is_the_error() {
    let bench = bench([failing(401, Failure::Unauthorized), failing(401, Failure::Unauthorized)]);
    let mut rejections = bench.rejected.subscribe();
    let (encrypted, ()) = tokio::join!(bench.encrypt(), async {
        rejections.changed().await.unwrap();
        bench.tokens.send_replace(token(2));
    });
    assert_eq!(encrypted.unwrap_err().code, Code::Unauthenticated);
    assert_eq!((bench.calls(), bench.rejected.newest()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_key_vault_is_not_called() {
    let bench = bench([]);
    let error = TokenError::new(Code::Unavailable, "unreachable", "IMDS cannot be reached".into());
    let refresh_failure = Some(RefreshFailure { error, retry_at: bench.start + Duration::from_secs(30) });
    bench.tokens.send_replace(TokenState { token: None, refresh_failure, credential_number: 0 });
    assert_eq!(bench.encrypt().await.unwrap_err().message, "IMDS cannot be reached");
    assert_eq!(bench.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_another_key_version_is_an_error() {
    let kid = "https://emulator.vault.azure.net/keys/k8s/ffffffffffffffffffffffffffffffff";
    let bench = bench_of(Scripted { kid, ..scripted() });
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn a_ciphertext_of_another_size_is_never_handed_out_and_teaches_nothing() {
    for length in [0, 16, 257] {
        let bench = bench_of(Scripted { length, ..scripted() });
        assert_eq!(bench.encrypt().await.unwrap_err().code, Code::Internal);
        assert!(bench.key.check_plaintext(446, Algorithm::RsaOaep256).is_ok());
    }
    let bench = bench_of(Scripted { length: 512, ..scripted() });
    bench.key.learn_modulus(256);
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_dropped_under_a_call_costs_a_wait_and_no_error() {
    let bench = Arc::new(bench([VaultError::without_answer(Failure::NoToken)]));
    bench.rejected.reject(1);
    let (encrypted, ()) = tokio::join!(bench.encrypt(), async { drop(bench.tokens.send_replace(token(2))) });
    assert!(encrypted.is_ok());
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_answer_is_counted() {
    let bench = bench_of(Scripted { silent_connections: usize::MAX, ..scripted() });
    bench.encrypt().await.unwrap_err();
    let counted = r#"azure_kms_key_vault_calls_total{operation="encrypt",result="timed_out"} 2"#; // and a second attempt
    assert!(bench.metrics.render().contains(counted), "{}", bench.metrics.render());
}

#[tokio::test(start_paused = true)]
async fn the_first_ciphertext_teaches_the_size_of_the_key() {
    let bench = bench([]);
    bench.encrypt().await.unwrap();
    assert!(bench.key.check_plaintext(191, Algorithm::RsaOaep256).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_learns_the_size_and_takes_a_403_as_fine() {
    let bench = bench([failing(403, Failure::Forbidden)]);
    let deadline = bench.start + Duration::from_secs(3);
    bench.engine.warm_up(&bench.key, deadline).await.unwrap();
    assert!(bench.key.check_plaintext(318, Algorithm::RsaOaep256).is_ok());
    bench.engine.warm_up(&bench.key, deadline).await.unwrap();
    assert!(bench.key.check_plaintext(319, Algorithm::RsaOaep256).is_err());
}

#[tokio::test(start_paused = true)]
async fn when_time_is_up_the_true_cause_is_told_with_attempts_and_time() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(1)), ..failing(429, Failure::Throttled) };
    let bench = bench(std::iter::repeat_n(throttled, 1000));
    let error = bench.encrypt().await.unwrap_err();
    assert_eq!(error.message, "throttled by Key Vault (HTTP 429), 3 attempts in 2.0 s");
}

#[tokio::test(start_paused = true)]
async fn silence_at_the_end_does_not_hide_what_was_answered_before() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(1500), ..scripted() });
    let unavailable = failing(503, Failure::ServerError);
    bench.vault.failures.lock().unwrap().extend([unavailable.clone(), unavailable]); // the second attempt's too
    let error = bench.encrypt().await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert_eq!(error.message, "Key Vault answers with a server error (HTTP 503), 2 attempts in 3.0 s");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_cannot_finish_in_time_is_not_made() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(400), ..scripted() });
    for _ in 0..20 {
        bench.encrypt().await.unwrap();
    }
    let made = bench.calls();
    let unavailable = failing(503, Failure::ServerError);
    bench.vault.failures.lock().unwrap().extend(std::iter::repeat_n(unavailable, 1000));
    let start = Instant::now();
    bench.encrypt().await.unwrap_err();
    let attempts = bench.vault.calls.lock().unwrap()[made..].to_vec();
    assert!(attempts.len() > 1);
    assert!(attempts.iter().all(|sent| *sent - start < Duration::from_millis(2600)), "{attempts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hung_connection_costs_the_tail_and_is_replaced_for_everybody() {
    let bench = bench_of(Scripted { silent_connections: 1, ..scripted() });
    let start = Instant::now();
    let encrypted = join_all((0..64).map(|_| bench.encrypt())).await;
    assert!(encrypted.iter().all(Result::is_ok));
    assert_eq!(start.elapsed(), Duration::from_secs(1)); // the tail while nothing is known
    assert_eq!(bench.calls(), 64 + 64);
    assert!(bench.metrics.render().contains("azure_kms_key_vault_hedges_total 10"));
    let again = Instant::now();
    bench.encrypt().await.unwrap();
    assert_eq!((again.elapsed(), bench.calls()), (Duration::ZERO, 64 + 64 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_that_hangs_after_the_first_is_replaced_too() {
    let bench = bench_of(Scripted { silent_connections: 2, ..scripted() });
    let start = Instant::now();
    bench.encrypt().await.unwrap_err(); // the first two are silent
    bench.encrypt().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_vault_whose_every_connection_hangs_is_told_of_once() {
    let (_guard, log) = crate::telemetry::capture_logs();
    let bench = bench_of(Scripted { silent_connections: usize::MAX, ..scripted() });
    for _ in 0..20 {
        bench.encrypt().await.unwrap_err();
        sleep(Duration::from_secs(1)).await;
    }
    assert!(bench.vault.connections.load(Ordering::SeqCst) > 5);
    let log = log.lock().unwrap();
    assert_eq!(log.matches("The connection to Key Vault hangs").count(), 1, "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_vault_is_asked_twice_for_a_tenth_of_the_calls_only() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(1200), ..scripted() });
    for _ in 0..200 {
        bench.encrypt().await.unwrap();
    }
    let twice = bench.calls() - 200;
    assert!((20..=30).contains(&twice), "{twice}");
}

#[tokio::test(start_paused = true)]
async fn a_429_keeps_everybody_from_calling_until_the_time_it_asked_for() {
    let bench =
        bench([VaultError { retry_after: Some(Duration::from_secs(2)), ..failing(429, Failure::Throttled) }]);
    let first = bench.encrypt();
    let others = async {
        tokio::task::yield_now().await;
        join_all((0..5).map(|_| bench.encrypt())).await
    };
    let (first, others) = tokio::join!(first, others);
    assert!(first.is_ok() && others.iter().all(Result::is_ok));
    let calls = bench.vault.calls.lock().unwrap().clone();
    assert_eq!(calls.iter().filter(|at| at.duration_since(bench.start) < Duration::from_secs(2)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn identical_decrypts_at_the_same_time_cost_one_call() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(50), ..scripted() });
    let decrypted = join_all((0..100).map(|_| bench.decrypt(&[1; 256]))).await;
    assert!(decrypted.iter().all(|outcome| outcome.as_ref().unwrap().expose() == b"decrypted"));
    assert_eq!(bench.calls(), 1);
    join_all([bench.decrypt(&[1; 256]), bench.decrypt(&[2; 256])]).await;
    assert_eq!(bench.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_failure_of_a_shared_decrypt_is_everybody_s() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(50), ..scripted() });
    bench.vault.failures.lock().unwrap().push_back(failing(400, Failure::BadRequest));
    let decrypted = join_all((0..10).map(|_| bench.decrypt(&[1; 256]))).await;
    assert!(decrypted.iter().all(|outcome| outcome.as_ref().unwrap_err().code == Code::InvalidArgument));
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_has_gone_costs_no_call() {
    let bench =
        bench([VaultError { retry_after: Some(Duration::from_secs(1)), ..failing(429, Failure::Throttled) }]);
    let mut waiting = Box::pin(bench.encrypt());
    assert!(futures_util::poll!(&mut waiting).is_pending()); // throttled, and waits
    drop(waiting);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.calls(), 1);
}

/// How many of 50 calls at once fail without any delay, for that reason.
async fn fail_fast(bench: &Bench, reason: &str) -> usize {
    let calls = (0..50).map(|_| async {
        let start = Instant::now();
        let error = bench.encrypt().await.unwrap_err();
        start.elapsed().is_zero() && error.code == Code::Unavailable && error.message.starts_with(reason)
    });
    join_all(calls).await.into_iter().filter(|fast| *fast).count()
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_down_fails_fast_with_the_reason_and_the_first_success_ends_it() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 10_000));
    bench.encrypt().await.unwrap_err();
    bench.encrypt().await.unwrap_err();
    assert!(bench.metrics.render().contains("azure_kms_key_vault_breaker_open 1"));
    // one of them may look for its return, and then waits for that
    let fast = fail_fast(&bench, "Key Vault cannot be reached, for ").await;
    assert!(fast >= 49, "{fast}");
    let calls = bench.calls();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.calls(), calls);
    assert_eq!(fail_fast(&bench, "Key Vault cannot be reached, for ").await, 49);
    bench.vault.failures.lock().unwrap().clear();
    sleep(Duration::from_secs(2)).await;
    bench.encrypt().await.unwrap();
    assert!(join_all((0..50).map(|_| bench.encrypt())).await.iter().all(Result::is_ok));
    assert!(bench.metrics.render().contains("azure_kms_key_vault_breaker_open 0"));
}

/// Answers like the vault until `silent_from`, and nobody from then on.
struct GoesSilent {
    connection: Connection,
    silent_from: Instant,
}

#[async_trait]
impl Vault for GoesSilent {
    async fn encrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        plain: &Plaintext,
    ) -> Result<EncryptResult, VaultError> {
        let encrypted = self.connection.encrypt(key, algorithm, plain).await;
        if Instant::now() >= self.silent_from {
            std::future::pending::<()>().await;
        }
        encrypted
    }

    async fn decrypt(&self, _: &KeyVersion, _: Algorithm, _: &[u8]) -> Result<Decrypted, VaultError> {
        std::future::pending().await
    }

    async fn modulus(&self, _: &KeyVersion) -> Result<usize, VaultError> {
        std::future::pending().await
    }
}

/// A bench whose first connection goes silent after half a second.
fn bench_that_hangs(vault: Scripted) -> Bench {
    let mut bench = bench_of(vault);
    let (vault, silent_from) = (bench.vault.clone(), bench.start + Duration::from_millis(500));
    let connections = AtomicUsize::new(0);
    let connect = move || {
        let connection = Connection { vault: vault.clone(), is_silent: false };
        Ok(match connections.fetch_add(1, Ordering::SeqCst) {
            0 => Arc::new(GoesSilent { connection, silent_from }) as Arc<dyn Vault>,
            _ => Arc::new(connection),
        })
    };
    let thousand = NonZeroU32::new(1000).unwrap();
    let reader = TokenReader::new(bench.tokens.subscribe(), bench.rejected.clone());
    let shared = Arc::new(SharedState::new(thousand, thousand));
    bench.engine = Engine::new(Arc::new(connect), reader, shared, bench.metrics.clone()).unwrap();
    bench
}

#[tokio::test(start_paused = true)]
async fn calls_that_began_at_different_times_all_leave_a_connection_that_hangs() {
    let bench = bench_that_hangs(Scripted { latency: Duration::from_millis(40), ..scripted() });
    let staggered = (0..64).map(|turn| {
        let bench = &bench;
        async move {
            sleep(Duration::from_millis(470 + turn)).await;
            bench.encrypt().await
        }
    });
    let encrypted = join_all(staggered).await;
    assert!(encrypted.iter().all(Result::is_ok), "{encrypted:?}");
    assert!(bench.start.elapsed() < Duration::from_millis(2000), "{:?}", bench.start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_fails_is_tried_again_and_not_hidden_by_the_silence_of_the_first() {
    let bench = bench_that_hangs(scripted());
    sleep(Duration::from_millis(600)).await;
    bench.vault.failures.lock().unwrap().push_back(failing(503, Failure::ServerError));
    let start = Instant::now();
    assert!(bench.encrypt().await.is_ok());
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_a_second_attempt_is_told_though_the_first_connection_hangs() {
    let bench = bench_that_hangs(scripted());
    sleep(Duration::from_millis(600)).await;
    bench
        .vault
        .failures
        .lock()
        .unwrap()
        .extend([failing(403, Failure::Forbidden), failing(403, Failure::Forbidden)]);
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn who_has_tried_before_waits_for_the_vault_s_return_while_others_fail_fast() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 10_000));
    bench.encrypt().await.unwrap_err();
    while !bench.metrics.render().contains("breaker_open 1") {
        bench.encrypt().await.unwrap_err();
    }
    sleep(Duration::from_secs(2)).await;
    let mut patient = Box::pin(bench.encrypt()); // it probes, and fails
    assert!(futures_util::poll!(&mut patient).is_pending());
    assert!(bench.encrypt().await.is_err());
    bench.vault.failures.lock().unwrap().clear();
    assert!(patient.await.is_ok());
}
