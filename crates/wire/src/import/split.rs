//! Takes arrays and objects apart, one level, without reading what is inside.
//!
//! For text that a validating parser has accepted: every document of a file is validated once,
//! and is then taken apart level by level, where going through `serde_json` again each time
//! would double the cost of an import. Nothing recurses, so depth costs no stack. On text that
//! was not validated the pieces may be wrong, but nothing panics.

/// The elements of an array; none if the text is no array.
pub(crate) fn elements(raw: &str) -> Option<Vec<&str>> {
    let mut rest = inside(raw, b'[', b']')?;
    let mut elements = Vec::new();
    loop {
        rest = skip_space(rest);
        if rest.is_empty() {
            return Some(elements);
        }
        let (element, after) = rest.split_at(value_len(rest)?);
        elements.push(element);
        rest = after_comma(after)?;
    }
}

/// The keys, still quoted and escaped, and the values of an object; none if it is none.
pub(crate) fn pairs(raw: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = inside(raw, b'{', b'}')?;
    let mut pairs = Vec::with_capacity(8);
    loop {
        rest = skip_space(rest);
        if rest.is_empty() {
            return Some(pairs);
        }
        if rest.as_bytes()[0] != b'"' {
            return None;
        }
        let (key, after) = rest.split_at(string_len(rest)?);
        let after = skip_space(after);
        if after.as_bytes().first() != Some(&b':') {
            return None;
        }
        let after = skip_space(&after[1..]);
        let (value, after) = after.split_at(value_len(after)?);
        pairs.push((key, value));
        rest = after_comma(after)?;
    }
}

/// What two brackets enclose. By bytes: to compare with a character is a call here.
fn inside(raw: &str, open: u8, close: u8) -> Option<&str> {
    let bytes = raw.as_bytes();
    let whole = bytes.len() > 1 && bytes[0] == open && bytes[bytes.len() - 1] == close;
    whole.then(|| &raw[1..raw.len() - 1])
}

fn skip_space(text: &str) -> &str {
    let space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let len = text.bytes().take_while(|byte| space(byte)).count();
    &text[len..]
}

fn after_comma(rest: &str) -> Option<&str> {
    let rest = skip_space(rest);
    match rest.as_bytes().first() {
        None => Some(rest),
        Some(b',') => Some(&rest[1..]),
        Some(_) => None,
    }
}

/// Length of the value that a text begins with; none if it begins with none.
fn value_len(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'"' => string_len(text),
        b'{' | b'[' => nested_len(text),
        _ => {
            let end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let len = text.bytes().position(|byte| end(&byte));
            Some(len.unwrap_or(text.len())).filter(|len| *len > 0)
        }
    }
}

/// Length of a string, with its quotes. Text of agents is dense with escapes (JSON in JSON), so eight
/// bytes are looked at as they lie, whatever is escaped in them.
fn string_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    // The high bit of the first byte, if a backslash comes before it that escapes it.
    let mut escaped = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let mut slashes = equal(word, b'\\');
        if slashes & (slashes << 8 | escaped) != 0 {
            slashes = escaping(slashes, escaped);
        }
        let ends = equal(word, b'"') & !(slashes << 8 | escaped);
        if ends != 0 {
            return Some(at + ends.trailing_zeros() as usize / 8 + 1);
        }
        escaped = slashes >> 56;
        at += 8;
    }
    let mut escaped = escaped != 0;
    let end = bytes.get(at..)?.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map(|end| at + end + 1)
}

/// How many bytes come before one; all of them where it is not there.
pub(crate) const fn before(bytes: [u8; 8], wanted: u8) -> usize {
    equal(u64::from_le_bytes(bytes), wanted).trailing_zeros() as usize / 8
}

/// The high bit of each byte that is this one, and no other bit.
const fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * byte as u64);
    !(((other & !HIGHS) + !HIGHS) | other | !HIGHS)
}

/// Of backslashes that follow each other, those that escape what comes next.
const fn escaping(slashes: u64, escaped: u64) -> u64 {
    let mut left = slashes & !escaped;
    let mut escaping = 0;
    while left != 0 {
        let first = left & left.wrapping_neg();
        escaping |= first;
        left &= !(first | first << 8);
    }
    escaping
}

/// Length of an array or object, with its brackets: up to where as many are closed as opened.
fn nested_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => at += string_len(text.get(at..)?)? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// Finds the next of two bytes, eight at a time. Text of agents is dense with escapes (JSON in
/// JSON), so the next one is near: calling `memchr` for each costs more than it saves.
pub(crate) fn find(bytes: &[u8], mut at: usize, wanted: [u8; 2]) -> Option<usize> {
    // Not by `map` over the array, which is not inlined here and costs as much as the search.
    let (first, second) = (ONES * u64::from(wanted[0]), ONES * u64::from(wanted[1]));
    // The lowest bit set is that of the first zero byte (Mycroft 1987); higher ones may lie.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ first) | zeros(word ^ second);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    let found = rest.iter().position(|byte| wanted.contains(byte))?;
    Some(at + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::import::json;

    fn values() -> impl Strategy<Value = Value> {
        let text = "[a-z\\\\\"\n\u{1}é\u{1f600}{}\\[\\]:, ]{0,20}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(text, inner, 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    fn rebuilt(raw: &str) -> Value {
        match raw.as_bytes()[0] {
            b'[' => elements(raw).unwrap().into_iter().map(rebuilt).collect(),
            b'{' => {
                let name = |key| json::string(key).unwrap().into_owned();
                let pairs = pairs(raw).unwrap().into_iter();
                Value::Object(pairs.map(|(key, raw)| (name(key), rebuilt(raw))).collect())
            }
            b'"' => Value::from(json::string(raw).unwrap()),
            _ => serde_json::from_str(raw).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_apart_is_what_a_parser_reads(value in values()) {
            prop_assert_eq!(&rebuilt(&value.to_string()), &value);
            let spaced = format!("{value:#}");
            prop_assert_eq!(&rebuilt(&spaced), &value);
        }

        #[test]
        fn escapes_read_as_a_parser_reads_them(units in proptest::collection::vec(any::<u16>(), 0..9)) {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let read = json::string(&format!("\"{escaped}\"")).unwrap().into_owned();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn a_string_ends_where_a_quote_is_not_escaped(inner in "[\\\\\"a\u{e9}]{0,40}") {
            let text = format!("\"{inner}");
            let mut escaped = false;
            let end = inner.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            prop_assert_eq!(string_len(&text), end.map(|end| end + 2));
        }

        #[test]
        fn text_that_is_no_json_does_not_panic(text in "[\\[\\]{}\",:\\\\é ]{0,24}") {
            let _ = (elements(&text), pairs(&text));
        }
    }
}
