//! `Retry-After` in both of its forms (RFC 9110, section 10.2.3). It caps nothing.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;

/// How long the receiver asks to be left alone, reckoned from `now`. A date in the past is no wait;
/// what cannot be read is ignored.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean longer than anybody waits.
        let seconds = text.parse::<u32>().unwrap_or(u32::MAX);
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let wait = until.duration_since(SystemTime::from(now));
    Some(wait.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_read_and_the_rest_is_ignored() {
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 22 Nov 2026 10:00:30 GMT", Some(30)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
            ("Sunday, 22-Nov-26 10:01:00 GMT", Some(60)),
            ("99999999999999999999", Some(u64::from(u32::MAX))),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("+5", None),
            ("soon", None),
            ("5, 6", None),
        ] {
            assert_eq!(read(value).map(|wait| wait.as_secs()), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp::UNIX_EPOCH), None);
    }

    proptest! {
        #[test]
        fn no_value_and_no_time_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            date in r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
            second in -62_135_596_800_i64..253_402_207_200,
        ) {
            let now = Timestamp::from_second(second).unwrap();
            for value in [HeaderValue::from_bytes(&bytes), HeaderValue::from_bytes(date.as_bytes())].into_iter().flatten() {
                let mut headers = HeaderMap::new();
                headers.insert(RETRY_AFTER, value);
                retry_after(&headers, now);
            }
        }
    }
}
