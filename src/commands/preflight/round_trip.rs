//! Encrypt and decrypt with the key itself, with the padding of each KMS version.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::advice::Advice;
use super::report::Check;
use crate::azure::AzureVault;
use crate::config::{Access, Config};
use crate::kms::{Algorithm, KeyId, KeyVersion, Plaintext};
use crate::vault::{Failure, RejectedTokens, Token, TokenReader, TokenState, Vault, VaultError};

/// The check of each version of KMS.
pub(super) const NAMES: [&str; 2] = ["round-trip-v2", "round-trip-v1"];
/// The padding of each.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::RsaOaep256, Algorithm::Rsa15];
/// As long as the data keys of kube-apiserver.
const LENGTH: usize = 32;
/// How long Key Vault may take for each call, and more than the daemon gives it.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// The vault with that token.
pub(super) fn vault(config: &Config, access: &Access, token: Token) -> Result<AzureVault, String> {
    let state =
        watch::channel(TokenState { token: Some(token), refresh_failure: None, credential_number: 0 }).1;
    let tokens = TokenReader::new(state, RejectedTokens::none());
    AzureVault::new(&config.key, &access.network, tokens)
}

/// One check a version.
pub(super) async fn checks(advice: &Advice<'_>, vault: &dyn Vault, key: &KeyVersion) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, algorithm) in NAMES.into_iter().zip(ALGORITHMS) {
        let done = timeout(STEP, seal_and_open(vault, key, algorithm)).await;
        let done = done
            .unwrap_or_else(|_| Err(("no answer in time", VaultError::without_answer(Failure::TimedOut))));
        let [encrypt, decrypt] = advice.operations();
        checks.push(match done {
            Ok(()) => {
                Check::passed(name, format!("{encrypt} and {decrypt} with {} work", algorithm.as_str()))
            }
            Err((step, error)) => {
                let cause = format!("{step} with {}: {}", algorithm.as_str(), error.with_cause());
                Check::failed(name, cause, advice.for_error(&error))
            }
        });
    }
    checks
}

/// Which step failed, and how.
async fn seal_and_open(
    vault: &dyn Vault,
    key: &KeyVersion,
    algorithm: Algorithm,
) -> Result<(), (&'static str, VaultError)> {
    let mut random = vec![0; LENGTH];
    let malformed = || VaultError::without_answer(Failure::Malformed);
    aws_lc_rs::rand::fill(&mut random).map_err(|_| ("random bytes", malformed()))?;
    let plaintext = Plaintext::new(random);
    let sealed = vault.encrypt(key, algorithm, &plaintext).await.map_err(|error| ("encrypt", error))?;
    if KeyId::of_url(&sealed.kid) != key.id {
        return Err(("encrypt", VaultError::without_answer(Failure::WrongKey)));
    }
    let opened = vault.decrypt(key, algorithm, &sealed.value).await.map_err(|error| ("decrypt", error))?;
    match opened.plaintext.expose() == plaintext.expose() {
        true => Ok(()),
        false => Err(("decrypt gives back something else", malformed())),
    }
}
