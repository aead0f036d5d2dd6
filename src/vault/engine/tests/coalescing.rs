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
