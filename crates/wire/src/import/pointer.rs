//! JSON Pointer (RFC 6901), followed through text that is not parsed yet.

use super::error::{ImportError, list};
use super::json::{Input, Object};
use super::run::Position;

/// What a pointer leads to.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) raw: &'a str,
    /// The object around it and its key there, if it is an object that is around it.
    pub(crate) around: Option<(Object<'a>, String)>,
}

/// Follows a pointer from a document.
pub(crate) fn follow<'a>(
    input: &Input<'a>,
    document: &'a str,
    pointer: &str,
    position: &Position,
) -> Result<Target<'a>, ImportError> {
    let mut target = Target {
        raw: document,
        around: None,
    };
    if pointer.is_empty() {
        return Ok(target);
    }
    let syntax = || ImportError::PointerSyntax {
        pointer: pointer.to_owned(),
    };
    let tokens = pointer.strip_prefix('/').ok_or_else(syntax)?;
    let mut walked = String::new();
    for token in tokens.split('/') {
        let name = decode(token).ok_or_else(syntax)?;
        let missing = |has: String| ImportError::PointerNotFound {
            at: input.place(document, position),
            pointer: pointer.to_owned(),
            parent: walked.clone(),
            has,
        };
        target = match target.raw.as_bytes().first() {
            Some(b'{') => {
                let object = input.object(target.raw, position)?;
                let found = object.pairs().find(|(key, _)| *key == name);
                match found.map(|(_, raw)| raw) {
                    Some(raw) => Target {
                        raw,
                        around: Some((object, name)),
                    },
                    None => {
                        let keys: Vec<&str> = object.pairs().map(|(key, _)| key).take(16).collect();
                        return Err(missing(match keys.is_empty() {
                            true => "no keys".to_owned(),
                            false => list(&keys),
                        }));
                    }
                }
            }
            Some(b'[') => {
                let items = input.array(target.raw, position)?;
                let index = index(&name).filter(|index| *index < items.len());
                match index {
                    Some(index) => Target {
                        raw: items[index],
                        around: None,
                    },
                    None => return Err(missing(format!("{} elements", items.len()))),
                }
            }
            _ => return Err(missing("nothing below it".to_owned())),
        };
        walked = format!("{walked}/{token}");
    }
    Ok(target)
}

/// Takes `~0` and `~1` out of a token; none if there is another `~`.
fn decode(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        name.push(character);
        name.push_str(rest);
    }
    Some(name)
}

/// An array index: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with('0');
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| token.parse().ok()).flatten()
}
