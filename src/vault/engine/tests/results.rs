//! The checks of what Key Vault returns, and the size of the key.

use super::*;

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
    bench.key.set_modulus_len(256);
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::Internal);
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
