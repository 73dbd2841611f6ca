//! `Retry-After` (RFC 9110 §10.2.3): a number of seconds, or a date.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, header};

/// The longest wait that the response asks for. What is neither a number nor a date asks for
/// nothing; a time that has passed asks for zero. A fraction of a second, which the grammar does
/// not have, is understood.
pub(super) fn parse(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    // A date is in the server's time, which the response gives (RFC 9110 §6.6.1): clocks that
    // differ do no harm.
    let now = headers.get(header::DATE).and_then(date).unwrap_or(now);
    let values = headers.get_all(header::RETRY_AFTER).iter();
    let waits = values.filter_map(|value| {
        let text = value.to_str().ok()?.trim();
        seconds(text).or_else(|| {
            let until = httpdate::parse_http_date(text).ok()?;
            Some(until.duration_since(now).unwrap_or_default())
        })
    });
    waits.max()
}

fn date(value: &::http::HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// Digits, with or without a fraction. What does not fit is the longest time there is.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = Duration::from_secs(whole.parse().unwrap_or(u64::MAX));
    // Nine digits are nanoseconds; zeros fill up what is shorter.
    let nanos = format!("{fraction:0<9}");
    let nanos = nanos.get(..9).and_then(|nanos| nanos.parse().ok());
    Some(whole.saturating_add(Duration::from_nanos(nanos.unwrap_or(0))))
}
