//! What lies beneath an error of the SDK: the parts that may be shown, without URLs and bodies.

use std::error::Error;
use std::iter::successors;

/// The first cause of that type.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Why the network failed, for the log: everything beneath the HTTP client's own error, whose text holds the URL.
pub(super) fn beneath_http(error: &(dyn Error + 'static)) -> Option<String> {
    let http = find::<reqwest::Error>(error)?;
    let kind = match http {
        _ if http.is_timeout() => "timed out",
        _ if http.is_connect() => "no connection",
        _ => "broken connection",
    };
    let mut text = kind.to_owned();
    for cause in http.source().into_iter().flat_map(causes) {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}"); // layers often repeat each other's words
        }
    }
    Some(text)
}

/// The error and everything beneath it.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_connection_is_told_without_the_url() {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        drop(taken);
        let error = client.get(format!("http://{addr}/tenant-secret")).send().await.unwrap_err();
        assert!(error.to_string().contains("tenant-secret"));
        let text = beneath_http(&error).unwrap();
        assert!(text.contains("refused") && !text.contains("tenant-secret"), "{text}");
    }
}
