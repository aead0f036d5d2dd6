//! The services' clock, as the `Date` of their responses shows it.

use std::sync::atomic::{AtomicI32, Ordering};

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use chrono::{DateTime, TimeDelta, Utc};

/// The offset of the `Date` of the services' responses from this machine's clock.
///
/// Only `Date` is shifted. Tokens and keys use this machine's clock, so that a client's handling of `Date` can be
/// tested with assertions, tokens and keys that stay valid.
#[derive(Default)]
pub(crate) struct Clock {
    /// Seconds ahead of this machine's clock; negative when behind it.
    offset_s: AtomicI32,
}

impl Clock {
    /// Shifts the `Date` of later responses by that many seconds.
    pub(crate) fn set_offset(&self, seconds: i32) {
        self.offset_s.store(seconds, Ordering::SeqCst);
    }

    /// Sets the response's `Date`.
    pub(crate) fn set_date(&self, response: &mut Response<Body>) {
        let offset = TimeDelta::seconds(self.offset_s.load(Ordering::SeqCst).into());
        if let Ok(date) = HeaderValue::try_from(http_date(Utc::now() + offset)) {
            response.headers_mut().insert(header::DATE, date);
        }
    }
}

/// Formats an IMF-fixdate (RFC 9110, section 5.6.7).
fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_writes_it() {
        let example = DateTime::from_timestamp(784_111_777, 0).unwrap();
        assert_eq!(http_date(example), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
