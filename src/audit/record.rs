//! What a line says.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use tokio::net::UnixStream;

use crate::kms::{Api, KeyId, Method};

/// One key operation, in the order in which its line has it. Holds nothing of what was sealed or opened.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    /// When it ended.
    #[serde(serialize_with = "rfc_3339")]
    pub time: SystemTime,
    /// The client's uid, or our number of the request; none if its message never came.
    pub uid: Option<String>,
    /// `encrypt` or `decrypt`.
    #[serde(serialize_with = "method")]
    pub operation: Method,
    /// `v1` or `v2`.
    #[serde(serialize_with = "api")]
    pub api: Api,
    /// Whether the `HealthActor` asked, or somebody who says to be it.
    #[serde(rename = "probe")]
    pub is_probe: bool,
    /// The key version; none if the request was refused before it was known.
    #[serde(serialize_with = "hash")]
    pub key_id: Option<KeyId>,
    /// The name of Key Vault's answer; none if it gave none.
    #[serde(rename = "x-ms-request-id")]
    pub request_id: Option<String>,
    /// Who asked.
    #[serde(flatten)]
    pub peer: Peer,
    /// `OK`, the gRPC code of the failure, or `CANCELLED` if there was no answer.
    pub outcome: &'static str,
    /// From the headers of the request to its end.
    pub took_ms: f64,
}

/// The process at the other end of a connection, as the kernel saw it when it connected (`SO_PEERCRED` of `unix(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Peer {
    /// Its number in our PID namespace; 0 when it is in none that we see.
    #[serde(rename = "peer_pid")]
    pub pid: Option<i32>,
    /// Its user.
    #[serde(rename = "peer_uid")]
    pub uid: Option<u32>,
    /// Its group.
    #[serde(rename = "peer_gid")]
    pub gid: Option<u32>,
}

impl Peer {
    /// Who made that connection.
    pub(crate) fn of(stream: &UnixStream) -> Self {
        stream.peer_cred().map_or_else(
            |_| Self::default(),
            |peer| Self { pid: peer.pid(), uid: Some(peer.uid()), gid: Some(peer.gid()) },
        )
    }
}

fn rfc_3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = DateTime::<Utc>::from(*time).to_rfc3339_opts(SecondsFormat::Micros, true);
    serializer.serialize_str(&time)
}

fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

fn api<S: Serializer>(api: &Api, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(api.as_str())
}

fn hash<S: Serializer>(key_id: &Option<KeyId>, serializer: S) -> Result<S::Ok, S::Error> {
    key_id.as_ref().map(KeyId::as_str).serialize(serializer)
}
