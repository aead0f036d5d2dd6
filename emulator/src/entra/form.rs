//! The form of a token request, with credentials from HTTP Basic (RFC 6749, section 2.3.1).

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Form, FromRequest, Query, Request};
use axum::http::{HeaderMap, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::EntraError;

/// The fields of the form by name.
pub(super) type Fields = HashMap<String, String>;

/// Reads the form. Client id and secret of HTTP Basic replace those of the form.
///
/// # Errors
/// The body is no form.
pub(super) async fn read(request: Request<Body>) -> Result<Fields, EntraError> {
    let from_header = basic_credentials(request.headers()).unwrap_or_default();
    let Ok(Form(mut fields)) = Form::<Fields>::from_request(request, &()).await else {
        return Err(EntraError::invalid_request(900_144, "The request body must be a form."));
    };
    fields.extend(from_header);
    Ok(fields)
}

/// Returns client id and secret of HTTP Basic. Both are encoded as in a form, so they are parsed as one.
fn basic_credentials(headers: &HeaderMap) -> Option<Fields> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    let credentials = STANDARD.decode(encoded).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let credentials = String::from_utf8(credentials).ok()?;
    let (id, secret) = credentials.split_once(':')?;
    let form: Uri = format!("/?client_id={id}&client_secret={secret}").parse().ok()?;
    Query::try_from_uri(&form).ok().map(|Query(fields)| fields)
}
