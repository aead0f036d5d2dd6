//! A client of the healthz port, in plain HTTP and never through a proxy.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::http::Snapshot;

/// The longest answer that is read, in bytes; a daemon's own has about 1,000.
const LONGEST: usize = 1 << 20;

/// The address of the healthz port: `HOST:PORT`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Healthz(String);

impl Healthz {
    /// Reads `http://HOST:PORT`.
    ///
    /// # Errors
    /// The text is something else.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let is_plain = |address: &&str| !address.contains(['/', '@', '?', '#']);
        let has_port = |address: &str| {
            address
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<std::num::NonZeroU16>().is_ok())
        };
        let address = address.filter(is_plain).filter(|address| has_port(address));
        address.map(|address| Self(address.to_owned())).ok_or(format!("{text:?} must be http://HOST:PORT"))
    }

    /// Asks for the daemon's snapshot.
    ///
    /// # Errors
    /// Nobody answers, the answer has more than 1 MiB, or it is not a daemon's.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, String> {
        let (status, body) = self.get("/statusz?format=json").await?;
        if status != StatusCode::OK {
            return Err(format!("{}: HTTP {}", self.0, status.as_u16()));
        }
        serde_json::from_slice(&body).map_err(|_| format!("{}: another version, or another program", self.0))
    }

    /// Sends a GET, and reads the response up to [`LONGEST`].
    ///
    /// # Errors
    /// The connection is refused or breaks off, or the body is longer than that.
    async fn get(&self, path: &str) -> Result<(StatusCode, Vec<u8>), String> {
        let failed = |error: &dyn std::error::Error| format!("{}: {error}", self.0);
        let stream = TcpStream::connect(&self.0).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        let request = Request::get(path).header(header::HOST, &self.0).body(Body::empty());
        let request = request.map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), LONGEST).await;
        Ok((status, body.map_err(|error| failed(&error))?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_healthz_port_is_a_url_without_a_path() {
        for (text, address) in [
            ("http://127.0.0.1:8787", "127.0.0.1:8787"),
            ("http://localhost:80/", "localhost:80"),
            ("http://[::1]:8787", "[::1]:8787"),
        ] {
            assert_eq!(Healthz::parse(text), Ok(Healthz(address.into())));
        }
        for bad in
            ["", "127.0.0.1:8787", "https://x:1", "http://x", "http://:1", "http://x:0", "http://x:1/y"]
        {
            assert!(Healthz::parse(bad).unwrap_err().contains("http://HOST:PORT"), "{bad}");
        }
    }
}
