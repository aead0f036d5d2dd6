//! Certificate credentials: assertions that the client signs with a registered certificate.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header};

use super::assertion::{Assertion, malformed};
use super::client_identity::ClientIdentity;
use super::error::EntraError;
use crate::certificate::Certificate;
use crate::ids::hex;
use crate::jwt;

/// Checks algorithm, certificate, signature, claims and times.
///
/// # Errors
/// One of them is wrong; the first in that order decides the code.
pub(super) fn check(
    registered: &[Certificate],
    client: ClientIdentity<'_>,
    assertion: &Assertion<'_>,
) -> Result<(), EntraError> {
    let algorithm = assertion.header.alg;
    if ![Algorithm::PS256, Algorithm::RS256].contains(&algorithm) {
        return Err(malformed("Its algorithm is neither PS256 nor RS256."));
    }
    let certificate = find(registered, client, &assertion.header)?;
    check_chain(certificate, &assertion.header)?;
    if !jwt::is_signed_by(assertion.token, &certificate.key(), algorithm) {
        return Err(invalid_signature(
            "The provided signature value did not match the expected signature value.",
            &certificate.x5t,
        ));
    }
    if !certificate.is_valid_now() {
        return Err(invalid_signature("The key used is expired.", &certificate.x5t));
    }
    check_claims(client, assertion)?;
    assertion.check_time()
}

/// Finds the registered certificate whose thumbprints the header names.
///
/// # Errors
/// The header names none, or one that is not registered.
fn find<'a>(
    registered: &'a [Certificate],
    client: ClientIdentity<'_>,
    header: &Header,
) -> Result<&'a Certificate, EntraError> {
    let named = |text: &Option<String>| text.as_deref().map(thumbprint);
    let (sha1, sha256) = (named(&header.x5t), named(&header.x5t_s256));
    if sha1.is_none() && sha256.is_none() {
        return Err(malformed("No certificate thumbprint specified in token header."));
    }
    let fits = |thumbprint: &Option<Vec<u8>>, own: &Vec<u8>| thumbprint.as_ref().is_none_or(|it| it == own);
    let found = registered.iter().find(|it| fits(&sha1, &it.x5t) && fits(&sha256, &it.x5t_s256));
    found.ok_or_else(|| not_registered(client, &sha1.or(sha256).unwrap_or_default()))
}

/// Decodes a thumbprint from any alphabet of base64; empty, which matches none, when it is in none of them.
fn thumbprint(text: &str) -> Vec<u8> {
    let decoded = [URL_SAFE_NO_PAD, URL_SAFE, STANDARD].iter().find_map(|base64| base64.decode(text).ok());
    decoded.unwrap_or_default()
}

/// Checks the `x5c` header (RFC 7515, section 4.1.6), if there is one.
///
/// # Errors
/// It is not base64 of DER, or does not begin with the certificate.
fn check_chain(certificate: &Certificate, header: &Header) -> Result<(), EntraError> {
    match header.x5c_der() {
        Ok(None) => Ok(()),
        Ok(Some(chain)) if chain.first() == Some(&certificate.der) => Ok(()),
        _ => Err(malformed("Its x5c is not a chain that begins with the certificate.")),
    }
}

/// Checks `sub`, `aud` and `jti`.
///
/// # Errors
/// `sub` is not the client, `aud` not exactly one token endpoint of the tenant, or there is no `jti`.
fn check_claims(client: ClientIdentity<'_>, assertion: &Assertion<'_>) -> Result<(), EntraError> {
    let ClientIdentity { authority, tenant, client_id } = client;
    if !assertion.claim("sub").eq_ignore_ascii_case(client_id) {
        let text = "Client assertion application identifier doesn't match 'client_id' parameter.";
        return Err(EntraError::invalid_client(700_021, text));
    }
    let audiences = assertion.audiences();
    if !matches!(audiences.as_slice(), [one] if authority.has_token_endpoint(one, tenant)) {
        let text = "Client assertion audience claim does not match Realm issuer. Review the documentation at \
                    https://learn.microsoft.com/entra/identity-platform/certificate-credentials .";
        return Err(EntraError::invalid_client(700_023, text));
    }
    match assertion.claim("jti") {
        "" => Err(malformed("It has no jti.")),
        _ => Ok(()),
    }
}

/// Returns the error for a signature that does not authenticate the client, of the certificate with that thumbprint.
fn invalid_signature(reason: &str, x5t: &[u8]) -> EntraError {
    let text = format!(
        "Client assertion contains an invalid signature. [Reason - {reason}, Thumbprint of key used by client: \
         '{}']",
        hex(x5t).to_uppercase()
    );
    EntraError::invalid_client(700_027, text)
}

/// Returns the error for a thumbprint of no registered certificate.
fn not_registered(client: ClientIdentity<'_>, thumbprint: &[u8]) -> EntraError {
    let text = format!(
        "The certificate with identifier used to sign the client assertion is not registered on application. \
         [Reason - The key was not found., Thumbprint of key used by client: '{}', Please visit the Azure Portal, \
         Graph Explorer or directly use MS Graph to see configured keys for app Id '{}'.]",
        hex(thumbprint).to_uppercase(),
        client.client_id
    );
    EntraError::invalid_client(700_027, text)
}
