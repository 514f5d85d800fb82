//! Streams of Anthropic messages.

use std::collections::BTreeMap;

use super::super::answer::{Answer, Completeness};
use super::super::fields::Fields;
use super::super::messages::{Block, Tokens, completeness, envelope};
use super::Moment;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    answer: Answer,
    started: bool,
    blocks: BTreeMap<u64, Block>,
    tokens: Tokens,
    stopped: bool,
}

impl State {
    pub(super) fn push(&mut self, event: Option<&str>, fields: &Fields<'_>) -> Moment {
        let kind = fields.filled("type");
        match event.or(kind.as_deref()).unwrap_or_default() {
            "message_start" if !self.started => {
                let message = fields.object("message").unwrap_or_default();
                envelope(&mut self.answer, &mut self.tokens, &message);
                self.started = true;
                Moment::Preamble
            }
            "ping" => Moment::Preamble,
            "content_block_start" => self.block(fields),
            "content_block_delta" => self.piece(fields),
            "content_block_stop" => match self.blocks.get_mut(&index(fields)) {
                Some(Block::Call { call, stopped, .. }) => {
                    *stopped = true;
                    match call.hosted {
                        true => Moment::Content,
                        false => Moment::LastOfToolCall,
                    }
                }
                _ => Moment::Preamble,
            },
            "message_delta" => {
                let delta = fields.object("delta").unwrap_or_default();
                self.tokens
                    .take(&fields.object("usage").unwrap_or_default());
                match delta.filled("stop_reason") {
                    None => Moment::Preamble,
                    Some(reason) => {
                        self.answer.finish = Some(reason.into_owned());
                        self.all_said()
                    }
                }
            }
            "message_stop" => {
                let open = |block: &Block| matches!(block, Block::Call { stopped: false, .. });
                self.stopped =
                    self.started && self.answer.finish.is_some() && !self.blocks.values().any(open);
                match self.stopped {
                    true => Moment::Terminal,
                    false => Moment::Cut,
                }
            }
            _ => self.unknown(),
        }
    }

    pub(super) const fn is_finished(&self) -> bool {
        self.stopped
    }

    pub(super) fn end(self) -> Answer {
        let mut answer = self.answer;
        answer.choices = usize::from(self.started);
        answer.usage = self.tokens.usage();
        answer.complete = match self.stopped {
            true => completeness(answer.finish.as_deref()),
            false => Completeness::Truncated,
        };
        for block in self.blocks.into_values() {
            answer.add(block.draft());
        }
        answer
    }

    /// A block begins.
    fn block(&mut self, fields: &Fields<'_>) -> Moment {
        let block = fields.object("content_block").unwrap_or_default();
        let Some(block) = Block::start(&block) else {
            return self.unknown();
        };
        let moment = match &block {
            Block::Call { call, .. } if !call.hosted => Moment::ToolCall,
            Block::Text(text) | Block::Thinking(text) if text.is_empty() => Moment::Preamble,
            _ => Moment::Content,
        };
        self.blocks.insert(index(fields), block);
        moment
    }

    /// A piece of a block.
    fn piece(&mut self, fields: &Fields<'_>) -> Moment {
        let delta = fields.object("delta").unwrap_or_default();
        let kind = delta.text("type").unwrap_or_default();
        let text = |key: &str| delta.text(key).unwrap_or_default();
        let block = self.blocks.get_mut(&index(fields));
        match (&*kind, block) {
            ("text_delta", Some(Block::Text(all))) => add(all, &text("text")),
            ("compaction_delta", Some(Block::Text(all))) => add(all, &text("content")),
            ("thinking_delta", Some(Block::Thinking(all))) => add(all, &text("thinking")),
            ("input_json_delta", Some(Block::Call { call, pieces, .. })) => {
                let piece = text("partial_json");
                // The first piece is empty; where no other comes, the block began with it all.
                if !piece.is_empty() && !std::mem::replace(pieces, true) {
                    call.arguments.clear();
                }
                call.arguments.push_str(&piece);
                match call.hosted {
                    true => Moment::Content,
                    false => Moment::ToolCall,
                }
            }
            ("signature_delta" | "citations_delta", _) => Moment::Content,
            _ => self.unknown(),
        }
    }

    /// What it means that there is no more to come.
    fn all_said(&self) -> Moment {
        let waits = |block: &Block| matches!(block, Block::Call { call, .. } if !call.hosted);
        match self.blocks.values().any(waits) {
            true => Moment::LastOfToolCall,
            false => Moment::Content,
        }
    }

    pub(super) fn unknown(&mut self) -> Moment {
        self.answer.unread += 1;
        Moment::Unknown
    }
}

fn index(fields: &Fields<'_>) -> u64 {
    fields.count("index").unwrap_or(0)
}

fn add(all: &mut String, piece: &str) -> Moment {
    all.push_str(piece);
    match piece.is_empty() {
        true => Moment::Preamble,
        false => Moment::Content,
    }
}
