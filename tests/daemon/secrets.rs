//! Nothing secret is in the log, at the highest verbosity, whatever happens.

use akv_emulator::{FaultSet, Faults};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::harness::Vault;

const PLAINTEXT: &[u8] = b"pl4int3xt-0f-a-data-key-32-byte!";

#[tokio::test]
async fn no_token_secret_or_plaintext_is_logged_even_at_the_highest_verbosity() {
    for json in [false, true] {
        let vault = Vault::start().await;
        let info = vault.emulator.info().clone();
        let mut daemon =
            vault.daemon().arg("-v=10").arg(format!("--log-format-json={json}")).listening().await;
        let mut client = daemon.client();
        client.status().await.unwrap();
        let sealed = client.encrypt_v2(PLAINTEXT).await.unwrap();
        client.decrypt_v2(sealed).await.unwrap();
        vault.emulator.revoke_tokens();
        client.encrypt_v1(PLAINTEXT).await.unwrap();
        for status in [400, 401, 403, 503] {
            let failing = FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() };
            vault.emulator.set_faults(Faults { vault: failing.clone(), entra: failing, ..Faults::default() });
            client.encrypt_v2(PLAINTEXT).await.unwrap_err();
        }
        daemon.inject("key-vault", "panic").await;
        daemon.logs_times("Actor started", 5).await; // four at the start
        daemon.terminate();
        daemon.exit().await;
        let log = daemon.log();
        let encoded = URL_SAFE_NO_PAD.encode(PLAINTEXT);
        let plaintext = std::str::from_utf8(PLAINTEXT).unwrap();
        for secret in [&info.client_secret, &info.client_secret[..13], plaintext, &encoded, "eyJ", "Bearer "]
        {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
    }
}
