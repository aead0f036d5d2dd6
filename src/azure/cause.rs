//! The causes of an error of the SDK: the parts that may be logged, without URLs and bodies.

use std::error::Error;
use std::iter::successors;

/// Returns the first cause of that type.
pub(super) fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns the cause of a network failure for the log, without the message of the HTTP client's own error, which holds the
/// URL. `None` when the error did not come from the HTTP client.
pub(super) fn network_cause(error: &(dyn Error + 'static)) -> Option<String> {
    let http = find_cause::<reqwest::Error>(error)?;
    let kind = match http {
        _ if http.is_timeout() => "timed out",
        _ if http.is_connect() => "no connection",
        _ => "broken connection",
    };
    let mut text = kind.to_owned();
    for cause in http.source().into_iter().flat_map(causes) {
        let message = cause.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}"); // an error often repeats the message of its cause
        }
    }
    Some(text)
}

/// Returns the message of the error and of all its causes.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
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
        let text = network_cause(&error).unwrap();
        assert!(text.contains("refused") && !text.contains("tenant-secret"), "{text}");
    }
}
