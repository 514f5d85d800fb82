//! Which model call asked for a tool call that arrives without any sign of it.
//!
//! An agent that calls a tool over MCP sends a name and arguments and nothing else. The model call
//! that asked for them was carried by us a moment before, with the same name (often decorated by
//! the agent's framework) and the same arguments.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use ledger::canonical;
use ledger::digest::sha256;
use lru::LruCache;
use model::{DecisionId, Digest, RunId};

use super::call::OwnedCall;

/// Different arguments that are remembered.
const ASKED_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Askers of the same arguments that are remembered.
const SAME_MAX: usize = 64;

/// Calls that models asked for and that were not seen to be carried out.
#[derive(Debug)]
pub(super) struct Joins {
    asked: LruCache<Digest, VecDeque<Asked>>,
}

/// One call that a model asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) run: RunId,
    pub(super) agent: String,
    pub(super) decision: DecisionId,
    pub(super) name: String,
    pub(super) id: Option<String>,
    /// Whether something rescinded was taken out of what the model was sent.
    pub(super) repaired: bool,
}

/// Who asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) run: RunId,
    pub(super) agent: &'a str,
    pub(super) decision: DecisionId,
    pub(super) repaired: bool,
}

impl Default for Joins {
    fn default() -> Self {
        Self {
            asked: LruCache::new(ASKED_MAX),
        }
    }
}

impl Joins {
    /// Remembers what a model asked for.
    pub(super) fn asked(&mut self, by: Asker<'_>, calls: &[OwnedCall]) {
        for call in calls {
            let key = key_of(&call.arguments);
            let same = self.asked.get_or_insert_mut(key, VecDeque::new);
            if same.len() >= SAME_MAX {
                same.pop_front();
            }
            same.push_back(Asked {
                run: by.run,
                agent: by.agent.to_owned(),
                decision: by.decision,
                name: call.name.clone(),
                id: call.id.clone(),
                repaired: by.repaired,
            });
        }
    }

    /// Takes the oldest asker that fits: the run and the agent, where they are known, must be its
    /// own; a call id that both carry decides alone.
    pub(super) fn take(
        &mut self,
        server: &str,
        tool: &str,
        arguments: &str,
        (agent, run): (Option<&str>, Option<RunId>),
        call_id: Option<&str>,
    ) -> Option<Asked> {
        let same = self.asked.get_mut(&key_of(arguments))?;
        let fits = |asked: &Asked| {
            if let (Some(wanted), Some(id)) = (call_id, asked.id.as_deref()) {
                return wanted == id;
            }
            is_name_of(&asked.name, server, tool)
                && agent.is_none_or(|agent| agent == asked.agent)
                && run.is_none_or(|run| run == asked.run)
        };
        let place = same.iter().position(fits)?;
        same.remove(place)
    }
}

/// Arguments that mean the same have the same key: order of members and white space do not count.
fn key_of(arguments: &str) -> Digest {
    let value: Option<serde_json::Value> = serde_json::from_str(arguments).ok();
    // No arguments are the same as empty ones.
    let value = match value {
        Some(serde_json::Value::Null) | None if arguments.trim().is_empty() => {
            Some(serde_json::json!({}))
        }
        Some(serde_json::Value::Null) => Some(serde_json::json!({})),
        other => other,
    };
    match value.map(|value| canonical::to_vec(&value)) {
        Some(Ok(bytes)) => sha256(&bytes),
        _ => sha256(arguments.as_bytes()),
    }
}

/// Whether a model's word for a tool means this tool of this server: frameworks put the server's
/// name before it (`mcp__server__tool`, `server.tool`, `server-tool`).
fn is_name_of(word: &str, server: &str, tool: &str) -> bool {
    if word == tool {
        return true;
    }
    let Some(before) = word.strip_suffix(tool) else {
        return false;
    };
    let Some(before) = before
        .strip_suffix("__")
        .or_else(|| before.strip_suffix(['.', '-', '_', '/', ':']))
    else {
        return false;
    };
    // `delete_order` is no way to say `order`: what stands before must name the server.
    before == server || before.ends_with(server) || before.starts_with("mcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u8) -> RunId {
        RunId::new(u64::from(n), [n; 10])
    }

    fn decision(n: u8) -> DecisionId {
        DecisionId::new(u64::from(n), [n; 10])
    }

    fn call(name: &str, arguments: &str) -> OwnedCall {
        OwnedCall {
            id: None,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
    }

    #[test]
    fn a_call_is_joined_to_who_asked_for_it_once() {
        let mut joins = Joins::default();
        let asked = [call("mcp__desk__cancel", r#"{"order":"W1","why":"late"}"#)];
        for (n, agent) in [(1, "ada"), (2, "bob")] {
            let by = Asker {
                run: run(n),
                agent,
                decision: decision(n),
                repaired: false,
            };
            joins.asked(by, &asked);
        }
        let arguments = r#"{ "why": "late", "order": "W1" }"#;
        let mut take = |agent| {
            joins
                .take("desk", "cancel", arguments, (agent, None), None)
                .map(|asked| asked.decision)
        };
        assert_eq!(take(Some("bob")), Some(decision(2)));
        assert_eq!(take(Some("bob")), None);
        assert_eq!(take(None), Some(decision(1)));
        assert_eq!(take(None), None);
    }

    #[test]
    fn names_are_recognised_with_what_frameworks_put_before_them() {
        for word in ["order", "desk.order", "desk__order", "mcp__desk__order"] {
            assert!(is_name_of(word, "desk", "order"), "{word}");
        }
        for word in ["delete_order", "orders", "other.order", "reorder"] {
            assert!(!is_name_of(word, "desk", "order"), "{word}");
        }
    }
}
