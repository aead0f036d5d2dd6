//! The engine against a scripted vault, in paused time.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::watch;

use super::*;
use crate::kms::{Code, Receipt};
use crate::vault::{Rate, RejectedTokens, Token, TokenError, TokenState, Trouble};

const URL: &str = "https://emulator.vault.azure.net/keys/k8s/0123456789abcdef0123456789abcdef";

/// Answers with the scripted failures, one a call, then succeeds; or never answers.
struct Scripted {
    failures: Mutex<VecDeque<VaultError>>,
    calls: Mutex<Vec<Instant>>,
    silent: bool,
    kid: &'static str,
    length: usize,
}

impl Scripted {
    async fn answer<T>(&self, value: T) -> Result<T, VaultError> {
        self.calls.lock().unwrap().push(Instant::now());
        if self.silent {
            std::future::pending::<()>().await;
        }
        match self.failures.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }
}

#[async_trait]
impl Vault for Scripted {
    async fn encrypt(&self, _: &KeyVersion, _: Algorithm, _: &Plaintext) -> Result<Encrypted, VaultError> {
        let answer =
            Encrypted { kid: self.kid.into(), value: vec![7; self.length], receipt: Receipt::default() };
        self.answer(answer).await
    }

    async fn decrypt(&self, _: &KeyVersion, _: Algorithm, _: &[u8]) -> Result<Plaintext, VaultError> {
        self.answer(Plaintext::new(b"opened".to_vec())).await
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
    TokenState { token: Some(value), trouble: None, supply: 0 }
}

fn bench_of(vault: Scripted) -> Bench {
    let vault = Arc::new(vault);
    let (tokens, receiver) = watch::channel(token(1));
    let rejected = RejectedTokens::none();
    let reader = TokenReader::new(receiver, rejected.clone());
    let thousand = NonZeroU32::new(1000).unwrap();
    let limiter = Limiter::new(Arc::new(Rate::new(thousand, thousand)));
    let metrics = Arc::new(Metrics::new());
    let engine = Engine::new(vault.clone(), reader, limiter, metrics.clone());
    let key = Arc::new(KeyVersion::new(URL, "k8s", "0123456789abcdef0123456789abcdef"));
    Bench { engine, vault, tokens, rejected, key, metrics, start: Instant::now() }
}

fn scripted() -> Scripted {
    Scripted { failures: Mutex::default(), calls: Mutex::default(), silent: false, kid: URL, length: 256 }
}

fn bench(failures: impl IntoIterator<Item = VaultError>) -> Bench {
    let failures = Mutex::new(failures.into_iter().collect());
    bench_of(Scripted { failures, ..scripted() })
}

impl Bench {
    async fn seal(&self) -> Result<Sealed, KmsError> {
        let job = Seal {
            key: self.key.clone(),
            algorithm: Algorithm::RsaOaep256,
            plaintext: Plaintext::new(vec![1; 32]),
            deadline: self.start + Duration::from_secs(3),
        };
        self.engine.seal(&job).await
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
    assert!(bench.seal().await.is_ok());
    assert_eq!(bench.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_retried() {
    for (failure, code) in [
        (Failure::Forbidden, Code::PermissionDenied),
        (Failure::NotFound, Code::NotFound),
        (Failure::BadRequest, Code::InvalidArgument),
        (Failure::KeyUnusable, Code::FailedPrecondition),
    ] {
        let bench = bench([failing(400, failure)]);
        assert_eq!(bench.seal().await.unwrap_err().code, code);
        assert_eq!(bench.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_the_deadline() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(2)), ..failing(429, Failure::Throttled) };
    let bench = bench([throttled]);
    assert!(bench.seal().await.is_ok());
    assert!(bench.start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn retry_after_past_the_deadline_fails_at_once_with_the_reason() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(3600)), ..failing(429, Failure::Throttled) };
    let bench = bench([throttled]);
    assert_eq!(bench.seal().await.unwrap_err().code, Code::ResourceExhausted);
    assert_eq!(bench.start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_retried_until_the_deadline_and_never_past_it() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 1000));
    assert_eq!(bench.seal().await.unwrap_err().code, Code::Unavailable);
    assert!(bench.start.elapsed() <= Duration::from_secs(3));
    assert!((3..=20).contains(&bench.calls()), "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_silent_vault_costs_the_deadline_and_no_more() {
    let bench = bench_of(Scripted { silent: true, ..scripted() });
    assert_eq!(bench.seal().await.unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(bench.start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_401_rejects_the_token_and_the_call_goes_on_with_the_next_one() {
    let bench = Arc::new(bench([failing(401, Failure::Unauthorized)]));
    let mut rejections = bench.rejected.subscribe();
    let (sealed, ()) = tokio::join!(bench.seal(), async {
        rejections.changed().await.unwrap();
        bench.tokens.send_replace(token(2));
    });
    assert!(sealed.is_ok());
    assert_eq!((bench.calls(), bench.rejected.newest()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_second_401_rejects_the_second_token_too_and_without_a_third_it_is_the_error() {
    let bench = bench([failing(401, Failure::Unauthorized), failing(401, Failure::Unauthorized)]);
    let mut rejections = bench.rejected.subscribe();
    let (sealed, ()) = tokio::join!(bench.seal(), async {
        rejections.changed().await.unwrap();
        bench.tokens.send_replace(token(2));
    });
    assert_eq!(sealed.unwrap_err().code, Code::Unauthenticated);
    assert_eq!((bench.calls(), bench.rejected.newest()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_key_vault_is_not_called() {
    let bench = bench([]);
    let error = TokenError { code: Code::Unavailable, message: "IMDS cannot be reached".into(), cause: None };
    let trouble = Some(Trouble { error, retry_at: bench.start + Duration::from_secs(30) });
    bench.tokens.send_replace(TokenState { token: None, trouble, supply: 0 });
    assert_eq!(bench.seal().await.unwrap_err().message, "IMDS cannot be reached");
    assert_eq!(bench.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_another_key_version_is_an_error() {
    let kid = "https://emulator.vault.azure.net/keys/k8s/ffffffffffffffffffffffffffffffff";
    let bench = bench_of(Scripted { kid, ..scripted() });
    assert_eq!(bench.seal().await.unwrap_err().code, Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_ciphertext_of_another_size_is_never_handed_out_and_teaches_nothing() {
    for length in [0, 16, 257] {
        let bench = bench_of(Scripted { length, ..scripted() });
        assert_eq!(bench.seal().await.unwrap_err().code, Code::Internal);
        assert!(bench.key.check_plaintext(446, Algorithm::RsaOaep256).is_ok());
    }
    let bench = bench_of(Scripted { length: 512, ..scripted() });
    bench.key.learn_modulus(256);
    assert_eq!(bench.seal().await.unwrap_err().code, Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_dropped_under_a_call_costs_a_wait_and_no_error() {
    let bench = Arc::new(bench([VaultError::without_answer(Failure::NoToken)]));
    bench.rejected.reject(1);
    let (sealed, ()) = tokio::join!(bench.seal(), async { drop(bench.tokens.send_replace(token(2))) });
    assert!(sealed.is_ok());
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_answer_is_counted() {
    let bench = bench_of(Scripted { silent: true, ..scripted() });
    bench.seal().await.unwrap_err();
    let counted = r#"azure_kms_key_vault_calls_total{operation="encrypt",result="timed_out"} 1"#;
    assert!(bench.metrics.render().contains(counted), "{}", bench.metrics.render());
}

#[tokio::test(start_paused = true)]
async fn the_first_ciphertext_teaches_the_size_of_the_key() {
    let bench = bench([]);
    bench.seal().await.unwrap();
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
