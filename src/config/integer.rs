//! The syntax of Go for whole numbers in flags (`strconv.ParseInt` with base 0): `8787`, `0x2253`, `0o21123`, `021123`, `8_787`.

/// Reads a number that is not negative and fits. A plus sign is read too.
pub(super) fn parse<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let (radix, digits) = radix(text.strip_prefix('+').unwrap_or(text));
    let mut plain = String::new();
    for part in digits.split('_') {
        if part.is_empty() || !part.chars().all(|digit| digit.is_digit(radix)) {
            return None;
        }
        plain.push_str(part);
    }
    T::try_from(u64::from_str_radix(&plain, radix).ok()?).ok()
}

/// Splits off the base. An underscore may follow its prefix.
fn radix(text: &str) -> (u32, &str) {
    let Some(rest) = text.strip_prefix('0').filter(|rest| !rest.is_empty()) else { return (10, text) };
    let (radix, digits) = match rest.as_bytes()[0] {
        b'x' | b'X' => (16, &rest[1..]),
        b'o' | b'O' => (8, &rest[1..]),
        b'b' | b'B' => (2, &rest[1..]),
        _ => (8, rest),
    };
    (radix, digits.strip_prefix('_').unwrap_or(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_is_read_alike() {
        for (text, number) in [
            ("0", 0),
            ("00", 0),
            ("8787", 8787),
            ("+8787", 8787),
            ("8_787", 8787),
            ("0x2253", 8787),
            ("0X_22_53", 8787),
            ("0o21123", 8787),
            ("021123", 8787),
            ("0_21123", 8787),
            ("0b101", 5),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_or_is_too_large_is_refused() {
        for text in [
            "",
            "+",
            "-1",
            "++1",
            "_1",
            "1_",
            "1__0",
            "0_",
            "0x",
            "0x_",
            "0xg",
            "08",
            "0b2",
            "1e3",
            "1.0",
            " 1",
            "18446744073709551616",
            "0é",
        ] {
            assert_eq!(parse::<u64>(text), None, "{text}");
        }
        assert_eq!(parse::<u8>("0x100"), None);
    }
}
