//! Federated credentials: tokens of issuers that the application trusts (workload identity).

use jsonwebtoken::Algorithm;

use super::assertion::{Assertion, malformed};
use super::refusal::Refusal;
use crate::application::Federated;
use crate::issuer::ISSUER;
use crate::jwt;
use crate::state::State;

const REVIEW: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented \
                      assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

/// # Errors
/// No credential matches, or the token is not one of the issuer's.
pub(super) fn check(state: &State, assertion: &Assertion<'_>) -> Result<(), Refusal> {
    check_match(&state.registered().federated, assertion)?;
    if assertion.claim("iss") != ISSUER {
        return Err(Refusal::request(90_061, "Request to External OIDC endpoint failed."));
    }
    let key = state.issuer_key().map_err(|error| Refusal::new(500, "server_error", 90_033, error.0))?;
    if !jwt::is_signed_by(assertion.token, &jwt::public(&key), Algorithm::RS256) {
        return Err(malformed("Its signature is not one of its issuer."));
    }
    assertion.check_time()
}

/// Finds out which part no credential has: issuer, subject or audience.
fn check_match(federated: &[Federated], assertion: &Assertion<'_>) -> Result<(), Refusal> {
    let (issuer, subject, audiences) =
        (assertion.claim("iss"), assertion.claim("sub"), assertion.audiences());
    let by_issuer: Vec<_> = federated.iter().filter(|known| known.issuer == issuer).collect();
    let by_subject: Vec<_> = by_issuer.iter().filter(|known| known.subject == subject).collect();
    if federated.is_empty() {
        Err(nothing(70_021, "assertion", &format!("{issuer} {subject}")))
    } else if by_issuer.is_empty() {
        Err(nothing(700_211, "assertion issuer", issuer))
    } else if by_subject.is_empty() {
        Err(nothing(700_213, "assertion subject", subject))
    } else if !by_subject.iter().any(|known| audiences.contains(&known.audience.as_str())) {
        Err(nothing(700_212, "assertion audience", &audiences.join(" ")))
    } else {
        Ok(())
    }
}

fn nothing(code: u64, what: &str, found: &str) -> Refusal {
    let text = format!(
        "No matching federated identity record found for presented {what} '{found}'. Please note that matching is \
         done using a case-sensitive comparison. {REVIEW}"
    );
    Refusal::client(code, text)
}
