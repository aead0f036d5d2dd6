//! The client's deadline, from the `grpc-timeout` header.
//!
//! Format: up to eight digits and a unit (gRPC over HTTP/2, "Timeout").

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// The timeout of a call that sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest timeout; longer ones are reduced to it.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the time by which to respond: 5 % of the timeout, at most 100 ms, before the client gives up, so that it
/// gets the reason and not a timeout.
pub(crate) fn of(metadata: &MetadataMap) -> Instant {
    let timeout =
        metadata.get("grpc-timeout").and_then(|value| parse(value.to_str().ok()?)).unwrap_or(DEFAULT_TIMEOUT);
    let timeout = timeout.min(MAX_TIMEOUT);
    let margin = (timeout / 20).min(Duration::from_millis(100));
    Instant::now() + (timeout - margin)
}

fn parse(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("2999m", Duration::from_millis(2999)),
            ("2999873u", Duration::from_micros(2_999_873)),
            ("99999999n", Duration::from_nanos(99_999_999)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_the_specification_does_not_allow_is_ignored() {
        for text in ["", "S", "3", "3s", "-3S", "123456789S", "3 S", "٣S", "3é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_is_due_shortly_before_the_caller_gives_up() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "3S".parse().unwrap());
        assert_eq!(of(&metadata) - Instant::now(), Duration::from_millis(2900));
        assert_eq!(of(&MetadataMap::new()) - Instant::now(), Duration::from_millis(9900));
    }
}
