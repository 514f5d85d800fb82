//! Rust source with comments and literals told apart from code.
//!
//! Not a parser: just enough of the lexical grammar (The Rust Reference, "Tokens" and "Comments")
//! that a word in a string or a comment is never taken for code, nor the other way round.

/// A source text in two layers of the same length and the same lines.
#[derive(Debug)]
pub(super) struct Masked {
    /// Code only: comments and the insides of literals are blanks.
    pub(super) code: String,
    /// Comments only: everything else is blanks.
    pub(super) comments: String,
}

/// Splits `text` into code and comments.
pub(super) fn mask(text: &str) -> Masked {
    let bytes = text.as_bytes();
    let mut code = blank(bytes);
    let mut comments = blank(bytes);
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"//") {
            let end = at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            comments[at..end].copy_from_slice(&bytes[at..end]);
            at = end;
        } else if rest.starts_with(b"/*") {
            let end = at + block_comment(rest);
            comments[at..end].copy_from_slice(&bytes[at..end]);
            at = end;
        } else if let Some(length) = literal(bytes, at) {
            at += length;
        } else {
            code[at] = bytes[at];
            at += 1;
        }
    }
    // Both layers keep or blank whole characters, because every boundary above is ASCII.
    let text = |layer| String::from_utf8(layer).expect("cut at ASCII boundaries only");
    Masked {
        code: text(code),
        comments: text(comments),
    }
}

fn blank(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .map(|&b| if b == b'\n' { b'\n' } else { b' ' })
        .collect()
}

/// Length of the (nested) block comment at the start of `rest`.
fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < rest.len() && depth > 0 {
        match &rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

/// Length of the string, raw string, byte string or character literal at `at`, if there is one.
fn literal(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    match rest[0] {
        b'"' => Some(quoted(rest, b'"')),
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        b'\'' => match rest {
            [_, b'\\', ..] => Some(quoted(rest, b'\'')),
            [_, first, ..] => {
                let width = match first {
                    0..=0x7f => 1,
                    0xc0..=0xdf => 2,
                    0xe0..=0xef => 3,
                    _ => 4,
                };
                (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
            }
            _ => None,
        },
        // A prefix counts only where a word starts: `bar"…"` is no raw string.
        b'r' | b'b' | b'c' if at == 0 || !word(bytes[at - 1]) => {
            let letters = rest
                .iter()
                .take(2)
                .take_while(|b| b"rbc".contains(b))
                .count();
            let raw = rest[..letters].contains(&b'r');
            let hashes = rest[letters..].iter().take_while(|&&b| b == b'#').count();
            match rest.get(letters + hashes) {
                Some(b'"') if raw => {
                    let open = letters + hashes + 1;
                    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
                    let found = rest[open..].windows(close.len()).position(|w| w == close);
                    Some(found.map_or(rest.len(), |found| open + found + close.len()))
                }
                Some(b'"') if hashes == 0 => Some(letters + quoted(&rest[letters..], b'"')),
                Some(b'\'') if hashes == 0 && letters == 1 && rest[0] == b'b' => {
                    Some(1 + quoted(&rest[1..], b'\''))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Length of a literal that ends at the first `end` without a backslash before it.
fn quoted(rest: &[u8], end: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b if b == end => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether `byte` may stand inside a word of Rust.
pub(super) fn word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn code(text: &str, wanted: &str) {
        let masked = mask(text);
        assert_eq!(masked.code.len(), text.len());
        assert_eq!(
            masked.code.split_whitespace().collect::<Vec<_>>().join(" "),
            wanted
        );
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        code("a // b\nc /* d /* e */ f */ g", "a c g");
        code(
            r#"x("std::fs", 'y', '\'', b'z', "\"q", b"w") + 1"#,
            "x( , , , , , ) + 1",
        );
        code("r#\"a \" b\"# c", "c");
        code("br\"a\" bar \"b\" c", "bar c");
        code(
            "fn f<'a>(x: &'a str) -> char { 'ß' }",
            "fn f<'a>(x: &'a str) -> char { }",
        );
        code("r#type = 1", "r#type = 1");
        code("\"never closed", "");
    }

    #[test]
    fn comments_are_kept_apart() {
        let masked = mask("let s = \"// no\"; // yes\n");
        assert_eq!(masked.comments.trim(), "// yes");
    }
}
