//! Streams of OpenAI responses.

use std::collections::BTreeMap;

use super::super::answer::{Answer, Completeness, Draft, OwnedCall};
use super::super::error;
use super::super::fields::Fields;
use super::super::responses;
use super::Moment;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// What stands around the output, as the stream began; at its end, all of it.
    answer: Answer,
    items: BTreeMap<u64, Growing>,
    finished: bool,
}

/// An item of the output as it grows.
#[derive(Clone, Debug, Default)]
struct Growing {
    draft: Draft,
    /// Which part of its content came last.
    part: Option<u64>,
}

impl State {
    pub(super) fn push(&mut self, event: Option<&str>, fields: &Fields<'_>) -> Moment {
        let kind = fields.filled("type");
        let kind = kind.as_deref().or(event).unwrap_or_default();
        let Some(kind) = kind.strip_prefix("response.") else {
            return match kind {
                "ping" | "keepalive" => Moment::Preamble,
                _ => self.unknown(),
            };
        };
        match kind {
            "created" | "queued" | "in_progress" => {
                let response = fields.object("response").unwrap_or_default();
                let unread = self.answer.unread;
                responses::envelope(&mut self.answer, &response);
                self.answer.unread = unread;
                Moment::Preamble
            }
            "completed" | "incomplete" | "cancelled" | "failed" => self.last(kind, fields),
            "output_item.added" | "output_item.done" => self.item(kind, fields),
            "content_part.added" | "reasoning_summary_part.added" => Moment::Preamble,
            _ => self.piece(kind, fields),
        }
    }

    pub(super) const fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn end(self) -> Answer {
        let mut answer = self.answer;
        if !self.finished {
            answer.complete = Completeness::Truncated;
            answer.finish = None;
            answer.choices = usize::from(!self.items.is_empty());
        }
        for item in self.items.into_values() {
            answer.add(item.draft);
        }
        answer
    }

    /// The last event holds the whole answer again. Some servers leave its output empty; then
    /// what came before counts.
    fn last(&mut self, kind: &str, fields: &Fields<'_>) -> Moment {
        let response = fields.object("response").unwrap_or_default();
        let mut answer = responses::answer(&response);
        answer.unread += self.answer.unread;
        if response.list("output").is_empty() {
            answer.choices = usize::from(!self.items.is_empty());
        } else {
            self.items.clear();
        }
        answer.id = answer.id.or_else(|| self.answer.id.take());
        answer.model = answer.model.or_else(|| self.answer.model.take());
        answer.complete = match kind {
            "completed" => Completeness::Complete,
            "failed" => Completeness::Failed,
            _ => Completeness::Incomplete,
        };
        answer.finish = answer.finish.or_else(|| Some(kind.to_owned()));
        self.answer = answer;
        if kind == "failed" {
            return Moment::Failed(error::of_object(&response));
        }
        self.finished = true;
        Moment::Terminal
    }

    fn item(&mut self, kind: &str, fields: &Fields<'_>) -> Moment {
        let item = fields.object("item").unwrap_or_default();
        let done = kind == "output_item.done";
        let mut unread = 0;
        let draft = responses::draft(&item, &mut unread);
        let moment = match (draft.asked.first(), done) {
            (Some(call), false) if !call.hosted => Moment::ToolCall,
            (Some(call), true) if !call.hosted => Moment::LastOfToolCall,
            // What the provider's own tools do is not to be done twice.
            (Some(_), _) | (None, true) => Moment::Content,
            (None, false) => Moment::Preamble,
        };
        if done {
            self.answer.unread += unread;
        }
        self.at(fields).draft = draft;
        moment
    }

    /// A piece of an item.
    fn piece(&mut self, kind: &str, fields: &Fields<'_>) -> Moment {
        let delta = fields.text("delta").unwrap_or_default();
        match kind {
            "output_text.delta" => self.at(fields).text(fields, &delta),
            "refusal.delta" => {
                let refusal = &mut self.at(fields).draft.refusal;
                refusal.get_or_insert_default().push_str(&delta);
            }
            "reasoning_text.delta" | "reasoning_summary_text.delta" => {
                self.at(fields).thought(fields, &delta);
            }
            "audio.transcript.delta" => self.at(fields).draft.text.push_str(&delta),
            "function_call_arguments.delta"
            | "custom_tool_call_input.delta"
            | "mcp_call_arguments.delta"
            | "code_interpreter_call_code.delta" => {
                let call = self.at(fields).call();
                call.arguments.push_str(&delta);
                if !call.hosted {
                    return Moment::ToolCall;
                }
            }
            "function_call_arguments.done" | "custom_tool_call_input.done" => {
                let whole = fields.text("arguments").or_else(|| fields.text("input"));
                let call = self.at(fields).call();
                if let Some(whole) = whole {
                    call.arguments = whole.into_owned();
                }
                return Moment::LastOfToolCall;
            }
            _ if kind.contains("_call") || known(kind) => {}
            _ => return self.unknown(),
        }
        Moment::Content
    }

    fn at(&mut self, fields: &Fields<'_>) -> &mut Growing {
        let index = fields.count("output_index").unwrap_or(0);
        self.items.entry(index).or_default()
    }

    fn unknown(&mut self) -> Moment {
        self.answer.unread += 1;
        Moment::Unknown
    }
}

/// Events that repeat or decorate what others say.
fn known(kind: &str) -> bool {
    let (what, _) = kind.split_once('.').unwrap_or((kind, ""));
    matches!(
        what,
        "output_text"
            | "refusal"
            | "content_part"
            | "reasoning_text"
            | "reasoning_summary_text"
            | "reasoning_summary_part"
            | "reasoning_summary"
            | "reasoning"
            | "audio"
            | "mcp_list_tools"
    )
}

impl Growing {
    fn text(&mut self, fields: &Fields<'_>, delta: &str) {
        let gap = self.next_part(fields.count("content_index"));
        append(&mut self.draft.text, gap, delta);
    }

    fn thought(&mut self, fields: &Fields<'_>, delta: &str) {
        let part = fields.count("summary_index");
        let gap = self.next_part(part.or_else(|| fields.count("content_index")));
        append(&mut self.draft.reasoning, gap, delta);
    }

    /// Whether another part begins.
    fn next_part(&mut self, part: Option<u64>) -> bool {
        std::mem::replace(&mut self.part, part) != part
    }

    fn call(&mut self) -> &mut OwnedCall {
        if self.draft.asked.is_empty() {
            self.draft.asked.push(OwnedCall::default());
        }
        &mut self.draft.asked[0]
    }
}

fn append(all: &mut String, gap: bool, delta: &str) {
    if gap && !all.is_empty() {
        all.push('\n');
    }
    all.push_str(delta);
}
