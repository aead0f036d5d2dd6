//! The client that a token request names.

use super::authority::Authority;

/// A client of the token endpoint, not authenticated yet.
#[derive(Clone, Copy)]
pub(super) struct ClientIdentity<'a> {
    /// The Entra ID that received the request.
    pub(super) authority: Authority,
    /// The tenant of the path: an id or a domain name.
    pub(super) tenant: &'a str,
    /// The `client_id` of the form; empty when there is none.
    pub(super) client_id: &'a str,
}
