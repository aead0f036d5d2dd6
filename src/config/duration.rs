//! Go's duration syntax (`time.ParseDuration`): numbers with units, added up.

use std::time::Duration;

/// Reads `20s`, `1m30s`, `1.5h`, `500ms`. A sign is read too, and a negative duration refused.
///
/// # Errors
/// It is not a duration in Go's syntax, or negative.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    nanoseconds(text).ok_or_else(|| "must be a duration such as 500ms, 20s or 1m30s".to_owned()).and_then(
        |total| u64::try_from(total).map(Duration::from_nanos).map_err(|_| "must not be negative".to_owned()),
    )
}

fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (part, after) = component(rest)?;
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(sign * total)
}

/// Reads one number with its unit, in nanoseconds, and returns what follows it.
fn component(text: &str) -> Option<(i64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(end)?;
    let unit = unit_in_nanoseconds(unit)?;
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let total = whole.checked_mul(unit)?.checked_add(fraction_of(fraction, unit))?;
    Some((total, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Returns that part of the unit, rounded down. Digits past the eighteenth are below a nanosecond in every unit.
fn fraction_of(digits: &str, unit: i64) -> i64 {
    let digits = &digits[..digits.len().min(18)];
    let numerator: i64 = digits.parse().unwrap_or(0); // empty: no fraction
    let denominator = 10i128.pow(digits.len() as u32);
    i64::try_from(i128::from(numerator) * i128::from(unit) / denominator).unwrap_or(0)
}

fn unit_in_nanoseconds(unit: &str) -> Option<i64> {
    match unit {
        "ns" => Some(1),
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_is_read_alike() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("20s", 20_000_000_000),
            ("1m30s", 90_000_000_000),
            ("500ms", 500_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+5s", 5_000_000_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("0.100000000000000000000h", 360_000_000_000),
            ("0.9223372036854775807h", 3_320_413_933_267),
            ("9223372036854775807ns", i64::MAX as u64),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "3",
            "-",
            "s",
            ".",
            ".s",
            "1d",
            "20sec",
            "1h 30m",
            "9223372036854775808ns",
            "3000000h",
            "--1s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("-5s"), Err("must not be negative".to_owned()));
    }
}
