//! Federated credentials: tokens of issuers that the application trusts (workload identity).

use jsonwebtoken::Algorithm;

use super::assertion::{Assertion, malformed};
use super::error::EntraError;
use crate::application::Federated;
use crate::issuer::ISSUER;
use crate::jwt;
use crate::state::State;

/// The end of the texts for tokens that no credential matches.
const REVIEW: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented \
                      assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

/// Checks credential, issuer, signature and times. The only issuer whose keys are known is the cluster's.
///
/// # Errors
/// No credential matches, the issuer is another one or did not sign the token, or the token is not valid now.
pub(super) fn check(state: &State, assertion: &Assertion<'_>) -> Result<(), EntraError> {
    check_match(&state.credentials().federated, assertion)?;
    if assertion.claim("iss") != ISSUER {
        return Err(EntraError::invalid_request(90_061, "Request to External OIDC endpoint failed."));
    }
    let key = state.issuer_key().map_err(|error| EntraError::new(500, "server_error", 90_033, error.0))?;
    if !jwt::is_signed_by(assertion.token, &jwt::public(&key), Algorithm::RS256) {
        return Err(malformed("Its signature is not one of its issuer."));
    }
    assertion.check_time()
}

/// Checks that a credential has the token's issuer, subject and audience.
///
/// # Errors
/// None has; the first of the three that no credential has decides the code.
fn check_match(federated: &[Federated], assertion: &Assertion<'_>) -> Result<(), EntraError> {
    let (issuer, subject, audiences) =
        (assertion.claim("iss"), assertion.claim("sub"), assertion.audiences());
    let by_issuer: Vec<_> = federated.iter().filter(|known| known.issuer == issuer).collect();
    let by_subject: Vec<_> = by_issuer.iter().filter(|known| known.subject == subject).collect();
    if federated.is_empty() {
        Err(no_match(70_021, "assertion", &format!("{issuer} {subject}")))
    } else if by_issuer.is_empty() {
        Err(no_match(700_211, "assertion issuer", issuer))
    } else if by_subject.is_empty() {
        Err(no_match(700_213, "assertion subject", subject))
    } else if !by_subject.iter().any(|known| audiences.contains(&known.audience.as_str())) {
        Err(no_match(700_212, "assertion audience", &audiences.join(" ")))
    } else {
        Ok(())
    }
}

/// Returns the error for a part of the token (`what`) that no credential has.
fn no_match(code: u64, what: &str, found: &str) -> EntraError {
    let text = format!(
        "No matching federated identity record found for presented {what} '{found}'. Please note that matching is \
         done using a case-sensitive comparison. {REVIEW}"
    );
    EntraError::invalid_client(code, text)
}
