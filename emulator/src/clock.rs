//! The services' clock, as their answers show it.

use std::sync::atomic::{AtomicI32, Ordering};

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use chrono::{DateTime, TimeDelta, Utc};

/// How far the `Date` of the services' answers is from this machine's clock.
///
/// Nothing else is off: tokens and keys keep to this machine's clock, so that whoever looks at `Date` can be tried
/// without assertions, tokens and keys that are not valid for the same reason.
#[derive(Default)]
pub(crate) struct Clock {
    offset_s: AtomicI32,
}

impl Clock {
    pub(crate) fn set_offset(&self, seconds: i32) {
        self.offset_s.store(seconds, Ordering::SeqCst);
    }

    /// Dates the answer.
    pub(crate) fn date(&self, response: &mut Response<Body>) {
        let offset = TimeDelta::seconds(self.offset_s.load(Ordering::SeqCst).into());
        if let Ok(date) = HeaderValue::try_from(http_date(Utc::now() + offset)) {
            response.headers_mut().insert(header::DATE, date);
        }
    }
}

/// RFC 9110, section 5.6.7.
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
