//! The headers and the body of Key Vault's responses.

use azure_core::http::Response;
use azure_core::http::headers::Headers;

use crate::kms::Receipt;
use crate::vault::{Failure, VaultError};

/// The header with the id of the request in Key Vault's logs.
pub(super) const REQUEST_ID: &str = "x-ms-request-id";

/// Parses the body of a response.
///
/// # Errors
/// `Malformed`: it is not the JSON of that type.
pub(super) fn model<T: serde::de::DeserializeOwned>(response: Response<T>) -> Result<T, VaultError> {
    let status = Some(u16::from(response.status()));
    let request_id = header(response.headers(), REQUEST_ID).unwrap_or_default();
    let malformed = |_| VaultError { status, ..VaultError::of_answer(Failure::Malformed, &request_id) };
    response.into_model().map_err(malformed)
}

/// Returns the headers that become annotations.
pub(super) fn receipt(headers: &Headers) -> Receipt {
    let header = |name| header(headers, name).unwrap_or_default();
    Receipt { date: header("date"), request_id: header(REQUEST_ID), region: header("x-ms-keyvault-region") }
}

/// Returns the value of that header.
pub(super) fn header(headers: &Headers, name: &'static str) -> Option<String> {
    headers.get_optional_string(&name.into())
}
