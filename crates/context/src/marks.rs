//! Many marks, made ready to be looked for.

use rustc_hash::FxHashMap;

use model::DecisionId;

use crate::anchors::{Anchors, Gathered};
use crate::mark::{Called, Mark, Trace};
use crate::passages::{BEGINNING, Passage, Passages, sentences, words};

/// Words from which a passage of the own run is recognised inside another text.
const PASSAGE_WORDS: usize = 8;
/// Words from which a passage of another run is recognised.
const PASSAGE_WORDS_ELSEWHERE: usize = 16;
/// Words from which a message is recognised by its text alone. A shorter one may be said twice.
const MESSAGE_WORDS: usize = 6;
/// The same where the message asked for calls, by which it is known better: what is said before a
/// call is often said.
const PREFACE_WORDS: usize = 12;

/// Whose histories the marks are looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Histories of the run in which the decisions were taken.
    SameRun,
    /// Histories of all runs: only what is long, and told to somebody, is recognised. What an
    /// agent said itself in another run is another decision, however alike.
    AnyRun,
}

/// Marks that are looked for together.
#[derive(Debug)]
pub struct Marks {
    pub(crate) audience: Audience,
    marks: Vec<Ready>,
    by_text: FxHashMap<String, Vec<Message>>,
    by_call: FxHashMap<String, Vec<Call>>,
    /// Calls whose id is not known, by their arguments.
    by_arguments: FxHashMap<String, Vec<Call>>,
    passages: Passages,
    anchors: Anchors,
    /// Whether messages of the model must be looked at whatever the anchors say.
    models: bool,
    /// Whether everything must.
    blind: bool,
}

/// What is gathered while marks are made ready.
#[derive(Debug, Default)]
struct LookedFor {
    passages: Vec<Passage>,
    gathered: Gathered,
}

/// What is said in the place of one decision's traces.
#[derive(Debug)]
struct Ready {
    decision: DecisionId,
    message: String,
    result: String,
    passage: String,
    note: String,
}

/// A message that is known by its text.
#[derive(Debug)]
struct Message {
    mark: usize,
    /// The last thing the model was told, where the text alone says too little.
    after: Option<String>,
}

/// A call that is known.
#[derive(Debug)]
struct Call {
    mark: usize,
    name: String,
    /// The arguments in one form.
    arguments: String,
    /// Whether the message that asks for it is rescinded, or what came of it alone.
    asked: bool,
    /// The result, where the call's id is not known and only both say that it is this one.
    result: Option<String>,
}

/// What is known of a call in a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'m> {
    pub(crate) mark: usize,
    pub(crate) asked: bool,
    pub(crate) result: Option<&'m str>,
}

impl Marks {
    /// Makes marks ready. The first given have precedence where there are too many to look for.
    #[must_use]
    pub fn new<'a>(audience: Audience, marks: impl IntoIterator<Item = &'a Mark>) -> Self {
        let mut ready = Self {
            audience,
            marks: Vec::new(),
            by_text: FxHashMap::default(),
            by_call: FxHashMap::default(),
            by_arguments: FxHashMap::default(),
            passages: Passages::default(),
            anchors: Anchors::default(),
            models: false,
            blind: false,
        };
        let mut looked_for = LookedFor::default();
        for mark in marks {
            ready.add(mark, &mut looked_for);
        }
        let LookedFor {
            passages,
            mut gathered,
        } = looked_for;
        for passage in &passages {
            ready.blind |= !gathered.add(&passage.text, false);
        }
        ready.anchors = gathered.anchors();
        ready.passages = Passages::new(passages);
        ready.silence();
        ready
    }

    /// Returns whose histories the marks are looked for in.
    #[must_use]
    pub const fn audience(&self) -> Audience {
        self.audience
    }

    /// Returns whether nothing is looked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Returns what is said in the place of a decision's message, if it is one of them.
    #[must_use]
    pub fn correction_of(&self, decision: DecisionId) -> Option<&str> {
        let mark = self.marks.iter().find(|mark| mark.decision == decision)?;
        Some(&mark.message)
    }

    /// Returns what tells a model that a decision no longer holds, if it is one of them.
    pub(crate) fn note_of(&self, decision: DecisionId) -> Option<String> {
        let mark = self.marks.iter().find(|mark| mark.decision == decision)?;
        Some(mark.note.clone())
    }

    fn add(&mut self, mark: &Mark, looked_for: &mut LookedFor) {
        let number = self.marks.len();
        self.marks.push(Ready {
            decision: mark.decision,
            message: mark.message(),
            result: mark.result(),
            passage: mark.passage(),
            note: mark.note(),
        });
        let least = match self.audience {
            Audience::SameRun => PASSAGE_WORDS,
            Audience::AnyRun => PASSAGE_WORDS_ELSEWHERE,
        };
        let mut pass = |text: &str, part, of_tool| {
            let text = text.trim();
            if words(text) >= least && text.len() >= BEGINNING {
                let (mark, text) = (number, text.to_owned());
                looked_for.passages.push(Passage {
                    mark,
                    text,
                    of_tool,
                    part,
                });
            }
        };
        let here = self.audience == Audience::SameRun;
        match &mark.trace {
            Trace::Output { text, calls, told } => {
                let own = |text: &str| !told.iter().any(|told| told.contains(text));
                let text = text.trim();
                if own(text) {
                    pass(text, false, false);
                }
                if !here {
                    return;
                }
                for sentence in sentences(text).into_iter().filter(|part| *part != text) {
                    if own(sentence) {
                        pass(sentence, true, false);
                    }
                }
                let sure = match calls.is_empty() {
                    true => words(text) >= MESSAGE_WORDS,
                    false => words(text) >= PREFACE_WORDS,
                };
                let after = told.last();
                if !text.is_empty() && (sure || after.is_some()) {
                    self.models |= !looked_for.gathered.add(text, true);
                    self.by_text
                        .entry(text.to_owned())
                        .or_default()
                        .push(Message {
                            mark: number,
                            after: after.filter(|_| !sure).map(|told| told.trim().to_owned()),
                        });
                }
                for call in calls {
                    self.call(number, call, true, None, looked_for);
                }
            }
            Trace::Result { call, text } if here => {
                pass(text, false, true);
                self.call(number, call, false, Some(text), looked_for);
            }
            Trace::Words { texts } => texts.iter().for_each(|text| pass(text, false, false)),
            Trace::Result { .. } => {}
        }
    }

    fn call(
        &mut self,
        mark: usize,
        call: &Called,
        asked: bool,
        result: Option<&str>,
        looked_for: &mut LookedFor,
    ) {
        let arguments = one_form(&call.arguments);
        let known = Call {
            mark,
            name: call.name.clone(),
            arguments: arguments.clone(),
            asked,
            result: result
                .filter(|_| call.id.is_none())
                .map(|text| text.trim().to_owned()),
        };
        match &call.id {
            Some(id) => {
                self.models |= !looked_for.gathered.add_id(id);
                self.by_call.entry(id.clone()).or_default().push(known);
            }
            // Without an id, only the result tells one call from others like it.
            None if asked => {}
            None => {
                self.models = true;
                self.by_arguments.entry(arguments).or_default().push(known);
            }
        }
    }

    /// Where a correction holds what is looked for, which would then be found in it again, its
    /// reason is left out.
    fn silence(&mut self) {
        let again = |text: &str| self.passages.find(text, 0, |_| true).is_some();
        let found: Vec<usize> = self
            .marks
            .iter()
            .enumerate()
            .filter(|(_, mark)| again(&mark.message) || again(&mark.result) || again(&mark.passage))
            .map(|(number, _)| number)
            .collect();
        for number in found {
            let mark = &mut self.marks[number];
            "[Rescinded: this message no longer holds.]".clone_into(&mut mark.message);
            "[Rescinded: this result no longer holds.]".clone_into(&mut mark.result);
            "[Rescinded: this passage no longer holds.]".clone_into(&mut mark.passage);
        }
    }

    pub(crate) fn decision(&self, mark: usize) -> DecisionId {
        self.marks[mark].decision
    }

    pub(crate) fn message_of(&self, mark: usize) -> &str {
        &self.marks[mark].message
    }

    pub(crate) fn result_of(&self, mark: usize) -> &str {
        &self.marks[mark].result
    }

    pub(crate) fn passage_of(&self, mark: usize) -> &str {
        &self.marks[mark].passage
    }

    pub(crate) const fn passages(&self) -> &Passages {
        &self.passages
    }

    pub(crate) fn knows_calls(&self) -> bool {
        !self.by_call.is_empty() || !self.by_arguments.is_empty()
    }

    /// Whether a piece of a body may hold something that is looked for; `model` tells whether it
    /// is the model's.
    pub(crate) fn may_be_in(&self, raw: &str, model: bool) -> bool {
        self.blind || model && self.models || self.anchors.hit(raw, model)
    }

    /// The mark of a message that says `text`; `before` tells what stands before it.
    pub(crate) fn message(
        &self,
        text: &str,
        before: impl FnOnce() -> Option<String>,
    ) -> Option<usize> {
        let known = self.by_text.get(text.trim())?;
        if let Some(message) = known.iter().find(|message| message.after.is_none()) {
            return Some(message.mark);
        }
        let before = before()?;
        let before = before.trim();
        let message = known
            .iter()
            .find(|message| message.after.as_deref() == Some(before))?;
        Some(message.mark)
    }

    /// What is known of a call.
    pub(crate) fn called(&self, id: &str, name: &str, arguments: &str) -> Option<Found<'_>> {
        let by_id = self.by_call.get(id);
        if by_id.is_none() && self.by_arguments.is_empty() {
            return None;
        }
        let arguments = one_form(arguments);
        let by_id = by_id.into_iter().flatten().filter(|call| call.name == name);
        let alike = self.by_arguments.get(&arguments).into_iter().flatten();
        // Frameworks put the server's name before the tool's.
        let alike = alike.filter(|call| name.ends_with(&call.name));
        by_id
            .chain(alike)
            .filter(|call| call.arguments == arguments)
            // Who asked counts for more than what came of it.
            .max_by_key(|call| call.asked)
            .map(|call| Found {
                mark: call.mark,
                asked: call.asked,
                result: call.result.as_deref(),
            })
    }
}

/// Arguments in one form: order of members and white space do not count.
fn one_form(arguments: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(arguments) {
        Ok(value) => value.to_string(),
        Err(_) => arguments.trim().to_owned(),
    }
}
