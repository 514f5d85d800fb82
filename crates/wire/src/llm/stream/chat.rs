//! Streams of OpenAI chat completions.

use std::collections::BTreeMap;

use super::super::answer::{Answer, Draft, OwnedCall};
use super::super::chat::{choice_error, conclude, envelope, finish, spoken};
use super::super::fields::Fields;
use super::super::request::arguments;
use super::Moment;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// What stands around the choices.
    answer: Answer,
    choices: BTreeMap<u64, Choice>,
}

#[derive(Clone, Debug, Default)]
struct Choice {
    draft: Draft,
    /// The index that the provider gave to each call, where it gave one.
    indexes: Vec<Option<u64>>,
    /// Which call the last piece belonged to.
    last: Option<usize>,
    finish: Option<String>,
}

impl State {
    pub(super) fn push(&mut self, fields: &Fields<'_>) -> Moment {
        envelope(&mut self.answer, fields);
        if fields.get("choices").is_none() {
            // Only usage, or something that is no chunk.
            return if fields.get("usage").is_some() {
                Moment::Preamble
            } else {
                self.answer.unread += 1;
                Moment::Unknown
            };
        }
        let mut moment = Moment::Preamble;
        for fields in fields.objects("choices") {
            let index = fields.count("index").unwrap_or(0);
            let choice = self.choices.entry(index).or_default();
            moment = moment.or(choice.push(&fields, &mut self.answer.unread));
        }
        moment
    }

    pub(super) fn is_finished(&self) -> bool {
        let mut choices = self.choices.values();
        !self.choices.is_empty() && choices.all(|choice| choice.finish.is_some())
    }

    pub(super) fn end(self) -> Answer {
        let mut answer = self.answer;
        let mut finishes = Vec::new();
        for choice in self.choices.into_values() {
            answer.add(choice.draft);
            finishes.push(choice.finish);
            answer.choices += 1;
        }
        conclude(&mut answer, &finishes, None);
        answer
    }
}

impl Choice {
    fn push(&mut self, fields: &Fields<'_>, unread: &mut usize) -> Moment {
        let mut moment = Moment::Preamble;
        let delta = fields.object("delta").or_else(|| fields.object("message"));
        let delta = delta.unwrap_or_default();
        if spoken(&mut self.draft, &delta, unread) {
            moment = moment.or(Moment::Content);
        }
        for call in delta.objects("tool_calls") {
            moment = moment.or(self.call(&call));
        }
        if let Some(call) = delta.object("function_call") {
            moment = moment.or(self.call(&call));
        }
        if let Some(error) = choice_error(fields) {
            return Moment::Failed(error);
        }
        if let Some(finish) = finish(fields) {
            moment = moment.or(self.all_said());
            self.finish = Some(finish);
        }
        moment
    }

    /// What it means that there is no more to come.
    fn all_said(&self) -> Moment {
        if self.draft.asked.is_empty() {
            Moment::Content
        } else {
            Moment::LastOfToolCall
        }
    }

    /// Takes in a piece of a call.
    fn call(&mut self, piece: &Fields<'_>) -> Moment {
        let inner = piece.object("function").or_else(|| piece.object("custom"));
        let body = inner.as_ref().unwrap_or(piece);
        let index = piece.count("index");
        let id = piece.filled("id");
        // Some servers give every call the index 0, or none, and tell them apart by id, or by
        // nothing but that a name comes again.
        let known = self.indexes.iter().rposition(|other| *other == index);
        let same = known.filter(|at| {
            let known = &self.draft.asked[*at];
            match (&id, &known.id) {
                (Some(id), Some(known)) => **id == **known,
                (None, None) if index.is_none() => {
                    known.name.is_empty() || body.filled("name").is_none()
                }
                _ => true,
            }
        });
        let at = same.unwrap_or_else(|| {
            self.indexes.push(index);
            self.draft.asked.push(OwnedCall::default());
            self.draft.asked.len() - 1
        });
        let call = &mut self.draft.asked[at];
        if let Some(id) = id {
            call.id = Some(id.into_owned());
        }
        if let Some(name) = body.filled("name") {
            call.name = name.into_owned();
        }
        let said = body.any(&["arguments", "input"]);
        call.arguments.push_str(&arguments(said));
        // Another call's turn, so the SDKs hand out the one before.
        let another = self.last.replace(at).is_some_and(|last| last != at);
        if another || self.finish.is_some() {
            Moment::LastOfToolCall
        } else {
            Moment::ToolCall
        }
    }
}
