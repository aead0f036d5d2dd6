//! The records and their JSON.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use tokio::net::UnixStream;

use crate::kms::{Api, KeyId, Method};

/// The record of one key operation, its fields in the order of the line. Holds no part of a plaintext or a ciphertext.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    /// The time at which the operation ended.
    #[serde(serialize_with = "rfc_3339")]
    pub time: SystemTime,
    /// The client's uid, or our number of the request; `None` if its message never arrived.
    pub uid: Option<String>,
    /// `encrypt` or `decrypt`.
    #[serde(serialize_with = "method")]
    pub operation: Method,
    /// `v1` or `v2`.
    #[serde(serialize_with = "api")]
    pub api: Api,
    /// The request has the header of the `HealthActor`'s probes, which any client could send.
    #[serde(rename = "probe")]
    pub is_probe: bool,
    /// The key version; `None` if the request was refused before it was known.
    #[serde(serialize_with = "hash")]
    pub key_id: Option<KeyId>,
    /// The request id of Key Vault's response; `None` without a response.
    #[serde(rename = "x-ms-request-id")]
    pub request_id: Option<String>,
    /// The client.
    #[serde(flatten)]
    pub peer: Peer,
    /// `OK`, the gRPC code of the failure, or `CANCELLED` without a response.
    pub outcome: &'static str,
    /// The time from the headers of the request to the end of the operation, in milliseconds.
    pub took_ms: f64,
}

/// The process at the other end of a connection, as the kernel saw it when it connected (`SO_PEERCRED` of `unix(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Peer {
    /// The process id in our PID namespace; 0 when it has none there.
    #[serde(rename = "peer_pid")]
    pub pid: Option<i32>,
    /// The user id.
    #[serde(rename = "peer_uid")]
    pub uid: Option<u32>,
    /// The group id.
    #[serde(rename = "peer_gid")]
    pub gid: Option<u32>,
}

impl Peer {
    /// Returns the peer of the connection; all fields are `None` when the kernel does not report it.
    pub(crate) fn of(stream: &UnixStream) -> Self {
        stream.peer_cred().map_or_else(
            |_| Self::default(),
            |peer| Self { pid: peer.pid(), uid: Some(peer.uid()), gid: Some(peer.gid()) },
        )
    }
}

/// Serializes the time in RFC 3339 with microseconds.
///
/// # Errors
/// Those of the serializer.
fn rfc_3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = DateTime::<Utc>::from(*time).to_rfc3339_opts(SecondsFormat::Micros, true);
    serializer.serialize_str(&time)
}

/// Serializes the method by its name.
///
/// # Errors
/// Those of the serializer.
fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

/// Serializes the API by its name.
///
/// # Errors
/// Those of the serializer.
fn api<S: Serializer>(api: &Api, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(api.as_str())
}

/// Serializes the key_id as its text.
///
/// # Errors
/// Those of the serializer.
fn hash<S: Serializer>(key_id: &Option<KeyId>, serializer: S) -> Result<S::Ok, S::Error> {
    key_id.as_ref().map(KeyId::as_str).serialize(serializer)
}
