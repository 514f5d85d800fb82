//! What may have been meant by a name that is none.

/// Returns the nearest of some words, where one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let near = |other: &str| {
        let distance = strsim::osa_distance(&word, other);
        (distance <= 1.max(other.len() / 3)).then_some(distance)
    };
    words
        .into_iter()
        .filter_map(|other| Some((near(other)?, other)))
        .min()
        .map(|(_, other)| other)
}

/// Says what to do about an unknown name.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("known here: {}", listed(known)),
    }
}

/// Lists names for a sentence.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
