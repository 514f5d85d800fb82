//! The one change that is made to a request on its way: another word for the model.

use super::fields::{Fields, quoted, string};

/// Returns the body with another word for its model, every other byte as it was; none where
/// `rename` has none, or the body names no model.
#[must_use]
pub fn with_model(body: &[u8], rename: impl FnOnce(&str) -> Option<String>) -> Option<Vec<u8>> {
    let fields = Fields::of(std::str::from_utf8(body).ok()?)?;
    let raw = fields.get("model")?;
    let other = quoted(&rename(&string(raw)?)?);
    // The raw value borrows from the body, so its place there is the distance between the two.
    let at = (raw.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let (before, after) = (body.get(..at)?, body.get(at + raw.len()..)?);
    Some([before, other.as_bytes(), after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_models_name_changes() {
        let body = br#"{"n": 1.50, "model" : "big", "x":{"model":"big"}}"#;
        let other = with_model(body, |name| (name == "big").then(|| "a \"b\"".to_owned()));
        let other = String::from_utf8(other.unwrap()).unwrap();
        assert_eq!(
            other,
            r#"{"n": 1.50, "model" : "a \"b\"", "x":{"model":"big"}}"#
        );
        assert_eq!(with_model(body, |_| None), None);
        assert_eq!(with_model(b"[]", |_| Some(String::new())), None);
        assert_eq!(with_model(br#"{"model":7}"#, |_| Some(String::new())), None);
    }
}
