//! Identical decrypts at the same time.

use super::*;

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

fn throttled(retry_after: Duration) -> VaultError {
    VaultError { retry_after: Some(retry_after), ..failing(429, Failure::Throttled) }
}

/// Makes decrypts of the same ciphertext at once, each within 3 s and that many milliseconds more.
async fn decrypt_at_once(bench: &Bench, more: &[u64]) -> Vec<Result<Plaintext, KmsError>> {
    let within = |ms: &u64| bench.decrypt_within(Duration::from_millis(3000 + ms), &[1; 256]);
    join_all(more.iter().map(within)).await
}

#[tokio::test(start_paused = true)]
async fn a_decrypt_that_fails_makes_the_attempts_of_an_encrypt_and_reports_all_of_them() {
    let always = || std::iter::repeat_n(throttled(Duration::from_secs(1)), 1000);
    let (encrypts, decrypts, together) = (bench(always()), bench(always()), bench(always()));
    let encrypt = encrypts.encrypt().await.unwrap_err();
    let decrypt = decrypts.decrypt(&[1; 256]).await.unwrap_err();
    assert_eq!((decrypts.calls(), &decrypt.message), (encrypts.calls(), &encrypt.message));
    assert_eq!(decrypt.message, "throttled by Key Vault (HTTP 429), 3 attempts in 2.0 s");
    let shared = decrypt_at_once(&together, &[0; 10]).await;
    assert!(shared.iter().all(|outcome| outcome.as_ref().unwrap_err() == &decrypt), "{shared:?}");
    assert_eq!(together.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_decrypt_in_an_outage_are_all_reported() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 1000));
    let error = bench.decrypt(&[1; 256]).await.unwrap_err();
    let attempts = format!(", {} attempts in ", bench.calls());
    assert!(error.message.contains(&attempts), "{error}, {} calls", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_past_every_deadline_costs_a_decrypt_one_call() {
    let bench = bench([throttled(Duration::from_secs(30))]);
    let failed = decrypt_at_once(&bench, &[0, 0, 300, 900]).await;
    assert!(failed.iter().all(|outcome| outcome.as_ref().unwrap_err().code == Code::ResourceExhausted));
    let message = &failed[0].as_ref().unwrap_err().message;
    assert_eq!(message, "throttled by Key Vault (HTTP 429), 1 attempt in 0.0 s");
    assert_eq!((bench.calls(), bench.start.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn who_joined_with_a_later_deadline_is_served_when_key_vault_recovers_after_the_first_one() {
    let bench = bench([throttled(Duration::from_millis(3200))]);
    let decrypted = decrypt_at_once(&bench, &[0, 400, 0, 900, 600]).await;
    let served: Vec<bool> = decrypted.iter().map(Result::is_ok).collect();
    assert_eq!(served, [false, true, false, true, true], "{decrypted:?}");
    assert_eq!((bench.calls(), bench.start.elapsed()), (2, Duration::from_millis(3200)));
}

#[tokio::test(start_paused = true)]
async fn silence_until_the_first_deadline_is_not_the_end_for_who_joined_with_a_later_one() {
    // the first attempt and its hedge get no answer
    let latency = Duration::from_millis(50);
    let bench = bench_of(Scripted { silent_connections: 2, latency, ..scripted() });
    let decrypted = decrypt_at_once(&bench, &[0, 400, 900, 600]).await;
    assert_eq!(decrypted[0].as_ref().unwrap_err().code, Code::DeadlineExceeded);
    assert!(decrypted[1..].iter().all(Result::is_ok), "{decrypted:?}");
    assert_eq!((bench.calls(), bench.start.elapsed()), (3, Duration::from_secs(3) + latency));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_final_for_who_joined_with_a_later_deadline_too() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(50), ..scripted() });
    bench.vault.failures.lock().unwrap().push_back(failing(403, Failure::Forbidden));
    let failed = decrypt_at_once(&bench, &[0, 400, 900]).await;
    assert!(failed.iter().all(|outcome| outcome.as_ref().unwrap_err().code == Code::PermissionDenied));
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_and_gets_no_answer_in_time_learns_the_reason_all_the_same() {
    let bench = bench(std::iter::repeat_n(throttled(Duration::from_millis(1750)), 1000));
    let failed = decrypt_at_once(&bench, &[0, 400, 900]).await;
    for outcome in failed {
        assert_eq!(outcome.unwrap_err().code, Code::ResourceExhausted);
    }
}
