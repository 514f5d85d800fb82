//! By what a rescinded decision is recognised, and what is said in its place.

use model::DecisionId;

use crate::passages::sentences;

/// The longest reason that stands in a history, in characters.
const REASON_MAX: usize = 240;

/// How many words tell a model what is meant. Fewer than a passage has, so that a note is none.
const EXCERPT_WORDS: usize = 6;

/// One rescinded decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The decision.
    pub decision: DecisionId,
    /// Who took it.
    pub agent: String,
    /// Why it was rescinded.
    pub reason: String,
    /// What it left in histories.
    pub trace: Trace,
}

/// What a decision leaves in histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A model's answer.
    Output {
        /// What it said.
        text: String,
        /// The calls that it asked for.
        calls: Vec<Called>,
        /// What the model was told: text that stands there too is not the answer's own.
        told: Vec<String>,
    },
    /// What a tool said.
    Result {
        /// The call, as the model asked for it.
        call: Called,
        /// The result.
        text: String,
    },
    /// What one agent told another, and what that answered.
    Words {
        /// Each by itself.
        texts: Vec<String>,
    },
}

/// A call as a model asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Its id, where it is known.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The arguments, as JSON text.
    pub arguments: String,
}

impl Mark {
    /// Returns the mark without what need not be kept: of all that a model was told, only what its
    /// answer says too, and the last of it.
    #[must_use]
    pub fn lean(mut self) -> Self {
        if let Trace::Output { text, told, .. } = &mut self.trace {
            let last = told.pop();
            let whole = text.trim();
            let mut parts = sentences(whole);
            parts.push(whole);
            let before = |part: &&str| told.iter().chain(&last).any(|told| told.contains(*part));
            let mut kept: Vec<String> = parts
                .into_iter()
                .filter(before)
                .map(str::to_owned)
                .collect();
            kept.extend(last);
            *told = kept;
        }
        self
    }

    /// Returns how many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let call = |call: &Called| call.arguments.len() + call.name.len();
        let all = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        self.reason.len()
            + match &self.trace {
                Trace::Output { text, calls, told } => {
                    text.len() + all(told) + calls.iter().map(call).sum::<usize>()
                }
                Trace::Result { call: of, text } => call(of) + text.len(),
                Trace::Words { texts } => all(texts),
            }
    }

    /// What stands in the place of a whole message.
    pub(crate) fn message(&self) -> String {
        format!(
            "[Rescinded: this message no longer holds.{}]",
            self.because()
        )
    }

    /// What stands in the place of a result.
    pub(crate) fn result(&self) -> String {
        format!(
            "[Rescinded: the result of this call no longer holds.{}]",
            self.because()
        )
    }

    /// What stands in the place of a passage.
    pub(crate) fn passage(&self) -> String {
        let agent = match self.agent.trim() {
            "" => String::new(),
            agent => format!(" by `{agent}`"),
        };
        format!(
            "[Rescinded: what stood here{agent} no longer holds.{}]",
            self.because()
        )
    }

    /// What tells a model which of the things that it has before it no longer holds.
    pub(crate) fn note(&self) -> String {
        let (what, begins) = match &self.trace {
            Trace::Output { text, calls, .. } => match (text.trim(), calls.first()) {
                ("", Some(call)) => ("an earlier call of yours", &*call.name),
                (text, _) => ("an earlier answer of yours", text),
            },
            Trace::Result { call, .. } => ("an earlier result of a call", &*call.name),
            Trace::Words { texts } => (
                "an earlier message",
                texts.first().map_or("", |text| text.trim()),
            ),
        };
        let words: Vec<&str> = begins.split_whitespace().take(EXCERPT_WORDS).collect();
        format!(
            "[Rescinded: {what} no longer holds: \"{} …\".{}]",
            words.join(" "),
            self.because()
        )
    }

    fn because(&self) -> String {
        let words: Vec<&str> = self.reason.split_whitespace().collect();
        let reason: String = words.join(" ").chars().take(REASON_MAX).collect();
        if reason.is_empty() {
            return String::new();
        }
        format!(" Reason: {}.", reason.trim_end_matches(['.', ' ']))
    }
}
