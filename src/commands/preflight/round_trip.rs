//! A round trip with the key itself for each KMS version, with its padding.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::advice::Advice;
use super::checks::Check;
use super::report::CheckResult;
use crate::azure::{AzureVault, Connector};
use crate::config::{Access, Config};
use crate::kms::{Algorithm, KeyId, KeyVersion, Plaintext};
use crate::vault::{Failure, RejectedTokens, Token, TokenReader, TokenState, Vault, VaultError};

/// The round trips, with the padding of each KMS version.
const ROUND_TRIPS: [(Check, Algorithm); 2] =
    [(Check::RoundTripV2, Algorithm::RsaOaep256), (Check::RoundTripV1, Algorithm::Rsa15)];
/// The length of the plaintext in bytes, which is that of kube-apiserver's data keys.
const LENGTH: usize = 32;
/// The time limit of each call to Key Vault, which is longer than the daemon's.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// Returns a client of the vault with that token.
///
/// # Errors
/// The HTTP client cannot be built.
pub(super) fn vault(config: &Config, access: &Access, token: Token) -> Result<AzureVault, String> {
    let state =
        watch::channel(TokenState { token: Some(token), refresh_failure: None, credential_number: 0 }).1;
    let tokens = TokenReader::new(state, RejectedTokens::none());
    AzureVault::new(&config.key, &access.network, &Connector::default(), tokens)
}

/// Makes a round trip for each version.
pub(super) async fn checks(advice: &Advice<'_>, vault: &dyn Vault, key: &KeyVersion) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for (check, algorithm) in ROUND_TRIPS {
        let done = timeout(STEP, encrypt_and_decrypt(vault, key, algorithm)).await;
        let done = done
            .unwrap_or_else(|_| Err(("no answer in time", VaultError::without_answer(Failure::TimedOut))));
        let [encrypt, decrypt] = advice.operations();
        results.push(match done {
            Ok(()) => check.passed(format!("{encrypt} and {decrypt} with {} work", algorithm.as_str())),
            Err((step, error)) => {
                let cause = format!("{step} with {}: {}", algorithm.as_str(), error.with_cause());
                check.failed(cause, advice.for_error(&error))
            }
        });
    }
    results
}

/// Encrypts and decrypts random bytes.
///
/// # Errors
/// A step fails, another key answers, or another plaintext comes back: the step, and its error.
async fn encrypt_and_decrypt(
    vault: &dyn Vault,
    key: &KeyVersion,
    algorithm: Algorithm,
) -> Result<(), (&'static str, VaultError)> {
    let mut random = vec![0; LENGTH];
    let malformed = || VaultError::without_answer(Failure::Malformed);
    aws_lc_rs::rand::fill(&mut random).map_err(|_| ("random bytes", malformed()))?;
    let plaintext = Plaintext::new(random);
    let encrypted = vault.encrypt(key, algorithm, &plaintext).await.map_err(|error| ("encrypt", error))?;
    if KeyId::of_url(&encrypted.kid) != key.id {
        return Err(("encrypt", VaultError::without_answer(Failure::WrongKey)));
    }
    let decrypted = vault.decrypt(key, algorithm, &encrypted.value).await;
    let decrypted = decrypted.map_err(|error| ("decrypt", error))?;
    if decrypted.plaintext.expose() == plaintext.expose() {
        Ok(())
    } else {
        Err(("decrypt gives back something else", malformed()))
    }
}
