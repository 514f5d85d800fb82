//! Prefixes of ids as ranges of their sixteen bytes.

/// All ids whose text begins in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRange {
    pub(crate) low: [u8; 16],
    pub(crate) high: [u8; 16],
}

impl IdRange {
    /// Returns the ids whose text (`01890a5d-ac96-…`) begins with `prefix`; none if no text can.
    pub(crate) fn of(prefix: &str) -> Option<Self> {
        let mut range = Self {
            low: [0; 16],
            high: [0xff; 16],
        };
        let mut place = 0;
        for (at, byte) in prefix.bytes().enumerate() {
            if at >= 36 {
                return None;
            }
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return None;
                }
                continue;
            }
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            let (shift, mask) = if place % 2 == 0 { (4, 0x0f) } else { (0, 0xf0) };
            let low = &mut range.low[place / 2];
            *low = *low & mask | digit << shift;
            let high = &mut range.high[place / 2];
            *high = *high & mask | digit << shift;
            place += 1;
        }
        Some(range)
    }
}

/// Whether a text could be a part of an id.
pub(crate) fn is_id_part(text: &str) -> bool {
    text.len() <= 36
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}
