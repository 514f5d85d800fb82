//! (b) Values: where the resources named in tool arguments come from.
//!
//! Truth, by an exhaustive search that shares no code with the tracer: for every word of every
//! argument that is an identifier, the earliest earlier user message or tool output that holds it
//! between word boundaries. Identifiers that the system prompt holds, or that the model wrote
//! before anybody else, have no such origin and are left out on both sides. Judged: the pairs
//! (call, origin). Found: the certain value edges of the call.
//!
//! The last row of a set asks the same of *every* word of at least three letters or digits, with
//! possible edges counted as found: how much is followed beyond identifiers.

use std::collections::BTreeSet;
use std::path::Path;

use lineage::{Options, Tracer};
use model::{CauseKind, Strength};
use serde_json::Value;

use crate::data::{Message, Shown, asker, conversations, message_of, show};
use crate::score::Tally;

pub(crate) fn report(root: &Path) {
    println!("\n(b) origins of the values in tool arguments, judged by exhaustive search");
    for (name, runs) in conversations(root) {
        let mut sure = Vec::new();
        let mut broad = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            let messages = &run.messages;
            let mut tracer = Tracer::new(Options::default());
            let (mut certain, mut any) = (BTreeSet::new(), BTreeSet::new());
            let (mut truth, mut all) = (BTreeSet::new(), BTreeSet::new());
            let mut outside = BTreeSet::new();
            for at in 0..messages.len() {
                let shown = Shown {
                    ids: true,
                    names: true,
                    arguments: true,
                };
                let causes = show(&mut tracer, number, messages, at, shown, &mut |_, _| {});
                let Some((asked, call)) = asker(messages, at) else {
                    continue;
                };
                for cause in causes.iter().filter(|c| c.kind == CauseKind::Value) {
                    let pair = (at, message_of(cause.decision));
                    any.insert(pair);
                    if cause.strength == Strength::Certain {
                        certain.insert(pair);
                    }
                }
                let arguments = &messages[asked].calls[call].arguments;
                let json = serde_json::from_str(arguments).unwrap();
                let mut words = BTreeSet::new();
                collect(&json, &mut words);
                for word in &words {
                    match origin(messages, asked, word) {
                        Origin::At(from) if is_identifier(word) => {
                            truth.insert((at, from));
                            all.insert((at, from));
                        }
                        Origin::At(from) => {
                            all.insert((at, from));
                        }
                        Origin::Model(from) => {
                            outside.insert((at, from));
                        }
                        Origin::Nowhere => {}
                    }
                }
            }
            if std::env::var_os("LINEAGE_EXPLAIN").is_some() {
                for (at, from) in truth.symmetric_difference(&certain) {
                    let what = if truth.contains(&(*at, *from)) {
                        "missed"
                    } else {
                        "wrong"
                    };
                    let (asked, call) = asker(messages, *at).unwrap();
                    println!(
                        "{what} {} {at} from {from} ({}) {}",
                        run.file.display(),
                        messages[*from].role,
                        messages[asked].calls[call].arguments
                    );
                }
            }
            certain.retain(|pair| !outside.contains(pair) || truth.contains(pair));
            any.retain(|pair| !outside.contains(pair) || all.contains(pair));
            sure.push(Tally::of(&certain, &truth));
            broad.push(Tally::of(&any, &all));
        }
        crate::print(&format!("{name}: identifiers"), &sure);
        crate::print(&format!("{name}: every word, possible ones too"), &broad);
    }
}

/// Where a word comes from.
enum Origin {
    /// A user message or tool output.
    At(usize),
    /// A message of the model came first.
    Model(usize),
    /// The system prompt, or nowhere.
    Nowhere,
}

fn origin(messages: &[Message], before: usize, word: &str) -> Origin {
    for (at, message) in messages[..before].iter().enumerate() {
        let asked = message
            .calls
            .iter()
            .any(|call| holds(&call.arguments, word));
        if holds(&message.text, word) || asked {
            return match message.role.as_str() {
                "user" | "tool" => Origin::At(at),
                "assistant" => Origin::Model(at),
                _ => Origin::Nowhere,
            };
        }
    }
    Origin::Nowhere
}

/// Whether a text holds a word between boundaries.
fn holds(text: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !inside(text[..at].chars().next_back()) && !inside(text[at + word.len()..].chars().next())
    })
}

fn collect(json: &Value, words: &mut BTreeSet<String>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, words)),
        Value::String(text) => {
            for word in text.split(|c: char| c.is_whitespace() || ",;()[]{}'\"".contains(c)) {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric());
                if word.len() >= 3 {
                    words.insert(word.to_owned());
                }
            }
        }
        Value::Number(number) if number.to_string().len() >= 3 => {
            words.insert(number.to_string());
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// What nobody would write without having read it: an address of e-mail or web; letters with
/// digits, or an upper-case code, of at least five signs; a number of at least five digits. Not
/// dates, prices, sums and measures.
fn is_identifier(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let date = word.len() >= 10 && word.as_bytes()[4] == b'-' && word.as_bytes()[7] == b'-';
    let measure = word
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
        .len()
        <= 2;
    if word.contains('@') || word.contains("://") {
        true
    } else if date {
        false
    } else if letters == 0 {
        digits >= 5 && digits == word.len()
    } else if digits == 0 {
        word.len() >= 5 && word.chars().all(|c| c.is_ascii_uppercase())
    } else {
        word.len() >= 5 && !measure
    }
}
