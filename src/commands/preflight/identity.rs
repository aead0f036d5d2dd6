//! The token, and the fixes for errors of Entra ID and IMDS.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::advice::TRY_AGAIN;
use super::checks::Check;
use super::report::CheckResult;
use crate::azure::AzureTokenSource;
use crate::config::{Access, Config, CredentialConfig, Proof, ServicePrincipal};
use crate::vault::{Token, TokenError, TokenSource};

/// The time limit of its issuer.
const STEP: Duration = Duration::from_secs(10);

/// Fetches a token.
///
/// # Errors
/// The HTTP client cannot be built, or the issuer refuses or does not answer within 10 s: the failed check.
pub(super) async fn token(config: &Config, access: &Access) -> Result<(Token, CheckResult), CheckResult> {
    let source = AzureTokenSource::new(access, &config.key.resource, config.assertion);
    let source = source.map_err(|cause| Check::Token.failed(cause, "correct that flag or file"))?;
    match timeout(STEP, source.fetch(1)).await {
        Err(_) => Err(Check::Token.failed(access.credential.no_answer(STEP), TRY_AGAIN)),
        Ok(Err(error)) => Err(token_refused(config, access, error)),
        Ok(Ok(token)) => {
            let left = token.expires_on.duration_since(SystemTime::now()).unwrap_or_default();
            let found = format!("{}, valid for {} min", access.credential.kind(), left.as_secs() / 60);
            Ok((token, Check::Token.passed(found)))
        }
    }
}

fn token_refused(config: &Config, access: &Access, error: TokenError) -> CheckResult {
    let fix = match &access.credential {
        CredentialConfig::ServicePrincipal(principal) => {
            fix_of_principal(principal, &config.access_source.config_file.display().to_string(), &error.message)
        }
        CredentialConfig::ManagedIdentity(_) if error.message.contains("invalid_request") => Some(
            "az vm identity assign (az vmss identity assign) --identities ID, or userAssignedIdentityID in azure.json"
                .into(),
        ),
        CredentialConfig::ManagedIdentity(_) => None,
    };
    let cause = error.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    Check::Token.failed(format!("{}{cause}", error.message), fix.unwrap_or_else(|| TRY_AGAIN.into()))
}

/// Reads the number after `AADSTS`.
fn number(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("AADSTS")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn fix_of_principal(principal: &ServicePrincipal, file: &str, message: &str) -> Option<String> {
    let ServicePrincipal { client_id, tenant_id, proof, .. } = principal;
    let fix = match number(message)? {
        7_000_215 => format!(
            "put the secret's value, not its id, into aadClientSecret of {file}; a new one: \
             az ad app credential reset --id {client_id} --append"
        ),
        7_000_222 => {
            format!(
                "az ad app credential reset --id {client_id} --append, and the password into aadClientSecret of {file}"
            )
        }
        7_000_112 => format!("az ad sp update --id {client_id} --set accountEnabled=true"),
        700_016 => format!(
            "correct aadClientId or tenantId in {file}; in tenant {tenant_id}: az ad sp create --id {client_id}"
        ),
        90_002 | 900_023 => format!("correct tenantId and cloud in {file}: az account show --query tenantId"),
        50_001 | 70_011 | 500_011 => format!("correct cloud in {file}"),
        700_024 => match proof {
            Proof::TokenFile(path) => {
                format!(
                    "have {} renewed, and set this machine's clock: timedatectl set-ntp true",
                    path.display()
                )
            }
            _ => "timedatectl set-ntp true".into(),
        },
        700_027 => format!(
            "az ad app credential reset --id {client_id} --cert @CERTIFICATE.pem --append, or the right file in aadClientCertPath of {file}"
        ),
        70_021 | 700_211..=700_213 => {
            format!(
                "az ad app federated-credential list --id {client_id}: issuer, subject and audience must be those of the token"
            )
        }
        _ => return None,
    };
    Some(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_the_sentence() {
        assert_eq!(number("x (HTTP 401, invalid_client, AADSTS7000215): y"), Some(7_000_215));
        assert_eq!(number("x (HTTP 502)"), None);
    }
}
