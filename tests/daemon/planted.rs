//! A secret in everything that a daemon gets, to look for it in everything that it tells.

use akv_emulator::{FaultSet, Faults, Info};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::harness::{Client, Vault};

/// The plaintext that is encrypted.
pub(crate) const PLAINTEXT: &str = "pl4int3xt-0f-a-data-key-32-byte!";

/// Both APIs, a token that is replaced, and every refusal.
pub(crate) async fn used(vault: &Vault, client: &mut Client) {
    let sealed = client.encrypt_v2(PLAINTEXT.as_bytes()).await.unwrap();
    client.decrypt_v2(sealed).await.unwrap();
    vault.emulator.revoke_tokens();
    client.encrypt_v1(PLAINTEXT.as_bytes()).await.unwrap();
    refused(vault, client).await;
}

/// Key Vault and Entra ID refuse a call each, in every way.
pub(crate) async fn refused(vault: &Vault, client: &mut Client) {
    for status in [400, 401, 403, 503] {
        let failing = FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() };
        vault.emulator.set_faults(Faults { vault: failing.clone(), entra: failing, ..Faults::default() });
        client.encrypt_v2(PLAINTEXT.as_bytes()).await.unwrap_err();
    }
}

/// Returns the texts that nobody may find: the client secret and its beginning, the plaintext as it is and as it is sent,
/// and the beginnings of tokens.
pub(crate) fn secrets(info: &Info) -> [String; 6] {
    let encoded = URL_SAFE_NO_PAD.encode(PLAINTEXT);
    let beginning = info.client_secret[..13].to_owned();
    [info.client_secret.clone(), beginning, PLAINTEXT.into(), encoded, "eyJ".into(), "Bearer ".into()]
}
