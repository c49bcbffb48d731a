//! Points in time as text: RFC 3339 out, whatever senders really write in.
//!
//! Out: UTC with `Z` and milliseconds. In: with `Z`, with an offset, or naive (taken as UTC). Values are
//! milliseconds since the epoch.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};

/// A text longer than this is no point in time.
const LENGTH_MAX: usize = 64;

/// `2026-11-20T20:38:02.651Z`; a time beyond the year 9999 is written as its end.
pub fn rfc3339(epoch_ms: u64) -> String {
    let millis = i64::try_from(epoch_ms).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

/// Milliseconds since the epoch of such a text; none when it is no point in time since 1970.
pub fn parse_timestamp(text: &str) -> Option<u64> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let naive = || TimeZone::UTC.to_timestamp(DateTime::from_str(text).ok()?).ok();
    let time = Timestamp::from_str(text).ok().or_else(naive)?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_795_207_082_651), "2026-11-20T20:38:02.651Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-12-"));
    }

    #[test]
    fn times_are_read_with_z_with_an_offset_and_naive() {
        let at = Some(1_795_207_082_651);
        for text in [
            "2026-11-20T20:38:02.651Z",
            "2026-11-20T21:38:02.651+01:00",
            "2026-11-20T20:38:02.651",
            "2026-11-20 20:38:02.651",
        ] {
            assert_eq!(parse_timestamp(text), at, "{text}");
        }
        for text in ["", "tomorrow", "1969-12-31T23:59:59Z", "20:38", &"9".repeat(99)] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
