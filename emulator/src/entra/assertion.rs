//! Client assertions (RFC 7523): signed by a registered certificate, or tokens of a federated issuer.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header};
use serde_json::Value;

use super::authority::Authority;
use super::federated;
use super::refusal::Refusal;
use crate::certificate::Certificate;
use crate::ids::hex;
use crate::jwt;
use crate::state::State;
use crate::stats::Credential;
use crate::tokens::now;

/// The only type there is.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest time that an assertion may be valid. That it is refused with 700024 is by analogy.
const LONGEST_S: u64 = 24 * 3600;

/// An assertion that is not checked yet.
pub(super) struct Assertion<'a> {
    pub(super) token: &'a str,
    pub(super) header: Header,
    claims: Value,
}

/// Who says to be whom, where.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) authority: Authority,
    pub(super) tenant: &'a str,
    pub(super) client_id: &'a str,
}

/// What the assertion proves.
///
/// # Errors
/// Why it proves nothing.
pub(super) fn check(state: &State, asking: Asking<'_>, token: &str) -> Result<Credential, Refusal> {
    let assertion = Assertion::read(token)?;
    if assertion.claim("iss").eq_ignore_ascii_case(asking.client_id) {
        by_certificate(&state.registered().certificates, asking, &assertion)?;
        return Ok(Credential::Certificate);
    }
    federated::check(state, &assertion)?;
    Ok(Credential::Federated)
}

impl<'a> Assertion<'a> {
    fn read(token: &'a str) -> Result<Self, Refusal> {
        let (header, claims) = jwt::read(token).ok_or_else(|| malformed("It cannot be read."))?;
        Ok(Self { token, header, claims })
    }

    /// A claim that is a text; empty when there is none.
    pub(super) fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }

    /// The audiences, of which there may be one or a list.
    pub(super) fn audiences(&self) -> Vec<&str> {
        match &self.claims["aud"] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        }
    }

    /// # Errors
    /// It is not valid now, or for longer than a day.
    pub(super) fn check_time(&self) -> Result<(), Refusal> {
        let expires = self.claims["exp"].as_u64().ok_or_else(|| malformed("It has no exp."))?;
        let (now, from) = (now(), self.claims["nbf"].as_u64().unwrap_or(0));
        match from <= now && now < expires && expires <= now + LONGEST_S {
            true => Ok(()),
            false => Err(outside(now, from, expires)),
        }
    }
}

fn by_certificate(
    registered: &[Certificate],
    asking: Asking<'_>,
    assertion: &Assertion<'_>,
) -> Result<(), Refusal> {
    let algorithm = assertion.header.alg;
    if ![Algorithm::PS256, Algorithm::RS256].contains(&algorithm) {
        return Err(malformed("Its algorithm is neither PS256 nor RS256."));
    }
    let certificate = find(registered, asking, &assertion.header)?;
    check_chain(certificate, &assertion.header)?;
    if !jwt::is_signed_by(assertion.token, &certificate.key(), algorithm) {
        return Err(unproven(
            "The provided signature value did not match the expected signature value.",
            &certificate.x5t,
        ));
    }
    if !certificate.is_good_now() {
        return Err(unproven("The key used is expired.", &certificate.x5t));
    }
    check_claims(asking, assertion)?;
    assertion.check_time()
}

/// The registered certificate that the header names.
fn find<'a>(
    registered: &'a [Certificate],
    asking: Asking<'_>,
    header: &Header,
) -> Result<&'a Certificate, Refusal> {
    let named = |text: &Option<String>| text.as_deref().map(thumbprint);
    let (sha1, sha256) = (named(&header.x5t), named(&header.x5t_s256));
    if sha1.is_none() && sha256.is_none() {
        return Err(malformed("No certificate thumbprint specified in token header."));
    }
    let fits = |thumbprint: &Option<Vec<u8>>, own: &Vec<u8>| thumbprint.as_ref().is_none_or(|it| it == own);
    let found = registered.iter().find(|it| fits(&sha1, &it.x5t) && fits(&sha256, &it.x5t_s256));
    found.ok_or_else(|| not_registered(asking, &sha1.or(sha256).unwrap_or_default()))
}

/// A thumbprint in any alphabet of base64; nothing fits what is in none.
fn thumbprint(text: &str) -> Vec<u8> {
    let decoded = [URL_SAFE_NO_PAD, URL_SAFE, STANDARD].iter().find_map(|base64| base64.decode(text).ok());
    decoded.unwrap_or_default()
}

/// A chain is base64 of DER, and begins with the certificate itself.
fn check_chain(certificate: &Certificate, header: &Header) -> Result<(), Refusal> {
    match header.x5c_der() {
        Ok(None) => Ok(()),
        Ok(Some(chain)) if chain.first() == Some(&certificate.der) => Ok(()),
        _ => Err(malformed("Its x5c is not a chain that begins with the certificate.")),
    }
}

fn check_claims(asking: Asking<'_>, assertion: &Assertion<'_>) -> Result<(), Refusal> {
    let Asking { authority, tenant, client_id } = asking;
    if !assertion.claim("sub").eq_ignore_ascii_case(client_id) {
        let text = "Client assertion application identifier doesn't match 'client_id' parameter.";
        return Err(Refusal::client(700_021, text));
    }
    let audiences = assertion.audiences();
    if !matches!(audiences.as_slice(), [one] if authority.has_token_endpoint(one, tenant)) {
        let text = "Client assertion audience claim does not match Realm issuer. Review the documentation at \
                    https://learn.microsoft.com/entra/identity-platform/certificate-credentials .";
        return Err(Refusal::client(700_023, text));
    }
    match assertion.claim("jti") {
        "" => Err(malformed("It has no jti.")),
        _ => Ok(()),
    }
}

/// The real service says which part is wrong; the parts' texts are by analogy.
pub(super) fn malformed(why: &str) -> Refusal {
    Refusal::request(50_027, format!("JWT token is invalid or malformed. {why}"))
}

fn unproven(reason: &str, x5t: &[u8]) -> Refusal {
    let text = format!(
        "Client assertion contains an invalid signature. [Reason - {reason}, Thumbprint of key used by client: \
         '{}']",
        hex(x5t).to_uppercase()
    );
    Refusal::client(700_027, text)
}

fn not_registered(asking: Asking<'_>, thumbprint: &[u8]) -> Refusal {
    let text = format!(
        "The certificate with identifier used to sign the client assertion is not registered on application. \
         [Reason - The key was not found., Thumbprint of key used by client: '{}', Please visit the Azure Portal, \
         Graph Explorer or directly use MS Graph to see configured keys for app Id '{}'.]",
        hex(thumbprint).to_uppercase(),
        asking.client_id
    );
    Refusal::client(700_027, text)
}

fn outside(now: u64, from: u64, expires: u64) -> Refusal {
    let [now, from, expires] = [now, from, expires].map(date);
    let text = format!(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, \
         expiry time of assertion {expires}. Review the documentation at \
         https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    );
    Refusal::client(700_024, text)
}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    time.unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC).format("%Y-%m-%dT%H:%M:%S.0000000Z").to_string()
}
