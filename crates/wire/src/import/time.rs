//! Times as sources write them, into microseconds since 1970.
//!
//! RFC 3339 section 5.6, and the same without an offset, which is read as UTC and reported as
//! inexact. Days are counted by Howard Hinnant's `days_from_civil`.

use model::Timestamp;

/// Returns the time, and whether it had an offset; none if the text is no time.
pub(crate) fn parse(text: &str) -> Option<(Timestamp, bool)> {
    let bytes = text.trim().as_bytes();
    let (date, rest) = bytes.split_at_checked(10)?;
    let year = number(&date[0..4])?;
    let month = number(&date[5..7])?;
    let day = number(&date[8..10])?;
    if date[4] != b'-' || date[7] != b'-' || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let (time, rest) = rest.split_at_checked(9)?;
    if !matches!(time[0], b'T' | b't' | b' ') || time[3] != b':' || time[6] != b':' {
        return None;
    }
    let hour = number(&time[1..3])?;
    let minute = number(&time[4..6])?;
    let second = number(&time[7..9])?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let (offset, exact) = match rest {
        [] => (0, false),
        [b'Z' | b'z'] => (0, true),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let minutes = number(&[*h1, *h2])? * 60 + number(&[*m1, *m2])?;
            (if *sign == b'-' { -minutes } else { minutes }, true)
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    Some((Timestamp(seconds * 1_000_000 + micros), exact))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

/// A fraction of a second in microseconds, cut off after the sixth digit, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let kept = &digits[..len.min(6)];
    let scale = 10_i64.pow(6 - u32::try_from(kept.len()).ok()?);
    Some((number(kept)? * scale, &digits[len..]))
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_offsets_fractions_and_leap_days() {
        let micros = |text| parse(text).map(|(time, exact)| (time.0, exact));
        assert_eq!(micros("1970-01-01T00:00:00Z"), Some((0, true)));
        assert_eq!(
            micros("2000-02-29T00:00:00Z"),
            Some((951_782_400_000_000, true))
        );
        assert_eq!(
            micros("2026-04-01T18:52:52.6+02:00"),
            Some((1_775_062_372_600_000, true))
        );
        assert_eq!(
            micros("2025-01-01T00:01:00.000001999"),
            Some((1_735_689_660_000_001, false))
        );
        for bad in [
            "",
            "2025-02-29T00:00:00Z",
            "2025-01-01",
            "2025-01-01T25:00:00Z",
            "yesterday at ten",
        ] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }
}
