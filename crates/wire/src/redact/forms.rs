//! Secrets that are known by their own form.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Secret;

/// How far ahead the end of a private key is looked for, in bytes.
const PRIVATE_KEY_BYTES_MAX: usize = 16 << 10;

/// How long user and password of an address may be together, in bytes.
const USERINFO_BYTES_MAX: usize = 512;

/// What a key is made of after its prefix.
struct Form {
    prefix: &'static str,
    kind: &'static str,
    /// Which bytes it is made of.
    of: fn(u8) -> bool,
    /// How many there are, at least and at most.
    len: (usize, usize),
    /// Whether its prefix is so short that words begin like it.
    dense: bool,
}

const fn form(
    prefix: &'static str,
    kind: &'static str,
    of: fn(u8) -> bool,
    len: (usize, usize),
) -> Form {
    Form {
        prefix,
        kind,
        of,
        len,
        dense: true,
    }
}

const fn sure(form: Form) -> Form {
    Form {
        dense: false,
        ..form
    }
}

const MANY: usize = 512;

#[rustfmt::skip]
const FORMS: &[Form] = &[
    form("sk-", "api-key", is_url64, (20, MANY)),
    form("sk_live_", "api-key", is_alnum, (16, MANY)),
    form("sk_test_", "api-key", is_alnum, (16, MANY)),
    form("rk_live_", "api-key", is_alnum, (16, MANY)),
    form("rk_test_", "api-key", is_alnum, (16, MANY)),
    form("whsec_", "secret", is_base64, (24, MANY)),
    sure(form("AKIA", "access-key", is_upper, (16, 16))),
    sure(form("ASIA", "access-key", is_upper, (16, 16))),
    form("ghp_", "token", is_alnum, (36, MANY)),
    form("gho_", "token", is_alnum, (36, MANY)),
    form("ghu_", "token", is_alnum, (36, MANY)),
    form("ghs_", "token", is_alnum, (36, MANY)),
    form("ghr_", "token", is_alnum, (36, MANY)),
    form("github_pat_", "token", is_word, (36, MANY)),
    form("glpat-", "token", is_url64_dotted, (20, MANY)),
    form("xoxa-", "token", is_alnum_dashed, (12, MANY)),
    form("xoxb-", "token", is_alnum_dashed, (12, MANY)),
    form("xoxe-", "token", is_alnum_dashed, (12, MANY)),
    form("xoxp-", "token", is_alnum_dashed, (12, MANY)),
    form("xoxr-", "token", is_alnum_dashed, (12, MANY)),
    form("xoxs-", "token", is_alnum_dashed, (12, MANY)),
    form("xapp-", "token", is_alnum_dashed, (12, MANY)),
    sure(form("AIza", "api-key", is_url64, (35, 35))),
    form("ya29.", "token", is_url64, (20, 2_048)),
    sure(form("hf_", "token", is_alnum, (30, 64))),
    form("npm_", "token", is_alnum, (36, 36)),
    form("pypi-", "token", is_url64, (50, MANY)),
    form("gsk_", "api-key", is_alnum, (40, MANY)),
    form("xai-", "api-key", is_alnum, (60, MANY)),
    form("pplx-", "api-key", is_alnum, (40, MANY)),
    form("nvapi-", "api-key", is_url64, (40, MANY)),
    form("lsv2_", "api-key", is_word, (40, MANY)),
    form("dop_v1_", "token", is_alnum, (64, 64)),
    form("shpat_", "token", is_alnum, (32, 32)),
    form("SG.", "api-key", is_url64_dotted, (60, MANY)),
    sure(form("AGE-SECRET-KEY-", "private-key", is_upper, (50, 70))),
];

/// Returns the secret whose form has this anchor, if there is one. `last` is where the secret
/// before it ended.
pub(super) fn at(text: &[u8], anchor: &Range<usize>, last: usize) -> Option<Secret> {
    let starts = || anchor.start == last || starts_word(text, anchor.start);
    match &text[anchor.clone()] {
        b"eyJ" => web_token(text, anchor.start).filter(|_| starts()),
        b"earer " | b"EARER " => bearer(text, anchor.end),
        b"asic " | b"ASIC " => basic(text, anchor.end),
        b"-----BEGIN " => private_key(text, anchor.start),
        b"://" => userinfo(text, anchor.end),
        prefix => {
            let form = FORMS.iter().find(|form| form.prefix.as_bytes() == prefix)?;
            key(text, anchor, form).filter(|_| starts())
        }
    }
}

fn key(text: &[u8], anchor: &Range<usize>, form: &Form) -> Option<Secret> {
    let body = &text[anchor.end..];
    let len = word(body, form.of);
    let fits = (form.len.0..=form.len.1).contains(&len) && (!form.dense || is_dense(&body[..len]));
    fits.then(|| Secret {
        at: anchor.start..anchor.end + len,
        kind: form.kind,
    })
}

/// Three parts of base64url with dots between, of which the first begins like a JSON object.
fn web_token(text: &[u8], start: usize) -> Option<Secret> {
    let mut end = start;
    for part in 0..3 {
        if part > 0 {
            if text.get(end) != Some(&b'.') {
                return None;
            }
            end += 1;
        }
        let len = run(&text[end..], is_url64);
        if len < 10 {
            return None;
        }
        end += len;
    }
    Some(Secret {
        at: start..end,
        kind: "jwt",
    })
}

fn bearer(text: &[u8], start: usize) -> Option<Secret> {
    let body = &text[start..];
    let len = word(body, |b| {
        is_url64(b) || matches!(b, b'.' | b'~' | b'+' | b'/' | b'=')
    });
    (len >= 16 && is_dense(&body[..len])).then_some(Secret {
        at: start..start + len,
        kind: "token",
    })
}

/// `Basic` and base64 of `user:password`.
fn basic(text: &[u8], start: usize) -> Option<Secret> {
    let body = &text[start..];
    let digits = run(body, is_base64);
    let len = digits + run(&body[digits..], |b| b == b'=');
    let decoded = STANDARD_NO_PAD.decode(&body[..digits]).ok()?;
    let credentials = decoded.len() > 4
        && decoded.contains(&b':')
        && decoded.iter().all(|b| (b' '..=b'~').contains(b));
    credentials.then_some(Secret {
        at: start..start + len,
        kind: "password",
    })
}

fn private_key(text: &[u8], start: usize) -> Option<Secret> {
    const DASHES: &[u8] = b"-----";
    let window = &text[start..text.len().min(start + PRIVATE_KEY_BYTES_MAX)];
    let label = find(&window[DASHES.len()..], DASHES)? + DASHES.len();
    if label > 64 || find(&window[..label], b"PRIVATE KEY").is_none() {
        return None;
    }
    let body = label + DASHES.len();
    // The string that holds the key ends at a quote, unless a backslash says otherwise.
    let limit = window[body..]
        .iter()
        .position(|b| *b == b'"')
        .map_or(window.len(), |at| body + at);
    let limit = limit - trailing_backslashes(&window[body..limit]);
    let end = match find(&window[body..limit], b"-----END ") {
        Some(at) => {
            let end = body + at + DASHES.len();
            find(&window[end..limit], DASHES).map_or(limit, |at| end + at + DASHES.len())
        }
        // A torn key is a key: all that can be part of it.
        None => {
            body + run(&window[body..limit], |b| {
                is_base64(b)
                    || matches!(b, b'=' | b'\n' | b'\r' | b' ' | b'\\' | b'-' | b':' | b',')
            })
        }
    };
    let end = end - trailing_backslashes(&window[..end]);
    Some(Secret {
        at: start..start + end,
        kind: "private-key",
    })
}

/// The password of `scheme://user:password@host`.
fn userinfo(text: &[u8], start: usize) -> Option<Secret> {
    let body = &text[start..text.len().min(start + USERINFO_BYTES_MAX)];
    let len = run(body, |b| {
        !b.is_ascii_whitespace()
            && !matches!(
                b,
                b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\'
            )
    });
    let at = body[..len].iter().rposition(|b| *b == b'@')?;
    let colon = body[..at].iter().position(|b| *b == b':')?;
    let password = &body[colon + 1..at];
    let stands_for = password
        .iter()
        .any(|b| matches!(b, b'$' | b'{' | b'}' | b'[' | b']' | b'*'));
    (!password.is_empty() && !stands_for).then_some(Secret {
        at: start + colon + 1..start + at,
        kind: "password",
    })
}

/// Whether a word can begin here: after anything but letters, digits, `_`, `-` and `+`, or after an
/// escape of JSON, which ends in a letter or digit itself. Never inside an escape.
fn starts_word(text: &[u8], at: usize) -> bool {
    let before = &text[..at];
    let escaped = |at: usize| trailing_backslashes(&before[..at]) % 2 == 1;
    if escaped(at) {
        return false;
    }
    match before.last() {
        Some(b'n' | b't' | b'r' | b'f' | b'b') if escaped(at - 1) => true,
        Some(last) if is_url64(*last) => {
            let code = at.checked_sub(6).map(|from| &before[from..]);
            code.is_some_and(|code| {
                code.starts_with(b"\\u") && code[2..].iter().all(u8::is_ascii_hexdigit)
            })
        }
        Some(last) => *last != b'+',
        None => true,
    }
}

/// Whether a text is more than words: a stretch of it, eight long or more, has digits and letters.
pub(super) fn is_dense(text: &[u8]) -> bool {
    text.split(|b| !is_alnum(*b)).any(|part| {
        part.len() >= 8
            && part.iter().any(u8::is_ascii_digit)
            && part.iter().any(u8::is_ascii_alphabetic)
    })
}

/// How many backslashes a text ends with.
pub(super) fn trailing_backslashes(text: &[u8]) -> usize {
    text.iter().rev().take_while(|b| **b == b'\\').count()
}

fn run(text: &[u8], of: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|b| of(**b)).count()
}

/// As [`run`], without the full stop of the sentence.
fn word(text: &[u8], of: impl Fn(u8) -> bool) -> usize {
    let len = run(text, of);
    let last = text[..len].iter().rposition(|b| *b != b'.');
    last.map_or(0, |last| last + 1)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

const fn is_alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

const fn is_upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

const fn is_word(b: u8) -> bool {
    is_alnum(b) || b == b'_'
}

const fn is_alnum_dashed(b: u8) -> bool {
    is_alnum(b) || b == b'-'
}

const fn is_base64(b: u8) -> bool {
    is_alnum(b) || matches!(b, b'+' | b'/')
}

pub(super) const fn is_url64(b: u8) -> bool {
    is_alnum(b) || matches!(b, b'_' | b'-')
}

const fn is_url64_dotted(b: u8) -> bool {
    is_url64(b) || b == b'.'
}
