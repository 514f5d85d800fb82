//! Texts as words, and patterns over words.
//!
//! Words are compared whole, because parts of words lie: "generate" holds "rate", and request
//! 150234 holds a 502. `toolResult`, `tool_result` and `tool result` read the same.

/// Words of a text that are read; an error says what it is about at its beginning.
const WORDS_MAX: usize = 800;

/// Words that `*` of a pattern passes over at most.
const GAP_MAX: usize = 12;

/// The words of one text, in lower case.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<String>,
    /// Places of all words, in the order of the alphabet.
    sorted: Vec<usize>,
}

impl Words {
    /// Splits a text at everything that is neither letter nor digit, and where a small letter
    /// meets a capital. Apostrophes are dropped; a number keeps its minus sign.
    pub(super) fn of(text: &str) -> Self {
        let mut words = Vec::new();
        let mut word = String::new();
        let mut last = ' ';
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let splits = letter.is_uppercase() && last.is_lowercase();
            if !word.is_empty() && (splits || !(letter.is_alphanumeric() || is_apostrophe(letter)))
            {
                words.push(std::mem::take(&mut word));
                if words.len() == WORDS_MAX {
                    break;
                }
            }
            if letter.is_alphanumeric() {
                word.extend(letter.to_lowercase());
            } else if letter == '-'
                && !last.is_alphanumeric()
                && letters.peek().is_some_and(char::is_ascii_digit)
            {
                word.push('-');
            }
            last = letter;
        }
        if !word.is_empty() {
            words.push(word);
        }
        let mut sorted: Vec<usize> = (0..words.len()).collect();
        sorted.sort_by_key(|&at| &words[at]);
        Self { words, sorted }
    }

    /// Returns whether a pattern occurs anywhere.
    ///
    /// A pattern is words: as they are, `a|b+c` for `a` or `b c`, `stem~` for every word with
    /// this beginning, `#` for a number, `-#` for one below zero, `*` for up to twelve words
    /// between.
    /// One word that is no ASCII is looked for inside words, since its script has no spaces.
    pub(super) fn have(&self, pattern: &str) -> bool {
        if !pattern.is_ascii() {
            return self.words.iter().any(|word| word.contains(pattern));
        }
        let first = pattern.split(' ').next().unwrap_or_default();
        first.split('|').any(|choice| {
            let head = choice.split('+').next().unwrap_or_default();
            self.places(head)
                .any(|at| starts(&self.words[at..], pattern, 0))
        })
    }

    /// Where a word stands that is wanted at the beginning of a pattern.
    fn places(&self, wanted: &str) -> impl Iterator<Item = usize> {
        let stem = wanted.trim_end_matches('~');
        let stem = if wanted.contains('#') { "" } else { stem };
        let from = self
            .sorted
            .partition_point(|&at| self.words[at].as_str() < stem);
        self.sorted[from..]
            .iter()
            .copied()
            .take_while(move |&at| self.words[at].starts_with(stem))
            .filter(move |&at| is(&self.words[at], wanted))
    }

    /// Returns the words themselves.
    pub(super) fn list(&self) -> &[String] {
        &self.words
    }

    /// Returns whether there is nothing to read.
    pub(super) fn are_none(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        matches!(
            words[..],
            [] | ["no", "body"] | [_, "status", "code", "no", "body"]
        )
    }
}

const fn is_apostrophe(letter: char) -> bool {
    matches!(letter, '\'' | '\u{2019}')
}

/// Whether `words` begin with the pattern, after passing over up to `gap` words.
fn starts(words: &[String], pattern: &str, gap: usize) -> bool {
    let pattern = pattern.trim_start();
    let Some(first) = pattern.split(' ').next().filter(|first| !first.is_empty()) else {
        return true;
    };
    let rest = &pattern[first.len()..];
    if first == "*" {
        return starts(words, rest, GAP_MAX);
    }
    (0..=gap.min(words.len().saturating_sub(1))).any(|skipped| {
        first.split('|').any(|choice| {
            let len = choice.split('+').count();
            words.get(skipped..skipped + len).is_some_and(|here| {
                here.iter()
                    .zip(choice.split('+'))
                    .all(|(word, wanted)| is(word, wanted))
                    && starts(&words[skipped + len..], rest, 0)
            })
        })
    })
}

fn is(word: &str, wanted: &str) -> bool {
    match wanted {
        "#" => is_number(word),
        "-#" => word.strip_prefix('-').is_some_and(is_number),
        _ => match wanted.strip_suffix('~') {
            Some(stem) => word.starts_with(stem),
            None => word == wanted,
        },
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}
