//! Hedges, and connections that hang.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_answer_is_counted() {
    let bench = bench_of(Scripted { silent_connections: usize::MAX, ..scripted() });
    bench.encrypt().await.unwrap_err();
    let counted = r#"azure_kms_key_vault_calls_total{operation="encrypt",result="timed_out"} 2"#; // the hedge too
    assert!(bench.metrics.render().contains(counted), "{}", bench.metrics.render());
}

#[tokio::test(start_paused = true)]
async fn a_hung_connection_costs_the_tail_and_is_replaced_for_everybody() {
    let bench = bench_of(Scripted { silent_connections: 1, ..scripted() });
    let start = Instant::now();
    let encrypted = join_all((0..64).map(|_| bench.encrypt())).await;
    assert!(encrypted.iter().all(Result::is_ok));
    assert_eq!(start.elapsed(), Duration::from_secs(1)); // the hedge delay without latencies
    assert_eq!(bench.calls(), 64 + 64);
    assert!(bench.metrics.render().contains("azure_kms_key_vault_hedges_total 64"));
    let again = Instant::now();
    bench.encrypt().await.unwrap();
    assert_eq!((again.elapsed(), bench.calls()), (Duration::ZERO, 64 + 64 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_that_hangs_after_the_first_is_replaced_too() {
    let bench = bench_of(Scripted { silent_connections: 2, ..scripted() });
    let start = Instant::now();
    bench.encrypt().await.unwrap_err(); // the first two connections are silent
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

/// A connection that stops answering at `silent_from`.
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

    async fn modulus_len(&self, _: &KeyVersion) -> Result<usize, VaultError> {
        std::future::pending().await
    }
}

/// Makes a bench whose first connection stops answering after 0.5 s.
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
    let staggered = (0..64).map(|index| {
        let bench = &bench;
        async move {
            sleep(Duration::from_millis(470 + index)).await;
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
