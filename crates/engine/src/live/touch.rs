//! What calls touch: the identity of their effects, and images of records.

use ledger::canonical;
use model::{DecisionId, Digest, Effect, Field, Media, Resource, RunId};
use recover::Images;
use serde_json::Value;

use super::Inner;
use super::call::{Ended, Touches, What};
use super::open::Open;
use super::place::Place;

impl Inner {
    /// Images as text. Those with a secret in them are not kept: put back without it, a record
    /// would be another one.
    pub(super) fn image(&self, images: &Images) -> Option<String> {
        if images.is_empty() || !self.options.bodies {
            return None;
        }
        let text = serde_json::to_string(images).ok()?;
        let secrets = self.options.redact.as_ref();
        let secrets = secrets.map_or(0, |redact| redact(&text).1);
        if secrets > 0 {
            metrics::counter!("rescind_images_withheld_total").increment(1);
            return None;
        }
        Some(text)
    }
}

impl Open {
    /// Returns what the call touches, where that is known.
    #[must_use]
    pub fn touches(&self) -> Option<&Touches> {
        self.touches.as_deref()
    }

    /// Takes note of what the call touched, as its end tells: the records that it made too, and how
    /// they are just after it. `result` is what came back, as a value.
    pub fn touched(
        &mut self,
        (reads, writes): (Vec<Resource>, Vec<Resource>),
        result: Value,
        after: Images,
        ended: &mut Ended,
    ) {
        if let Some(effect) = &mut self.effect {
            effect.reads = reads;
            effect.writes = writes;
        }
        if let Some(text) = self.inner.image(&after) {
            ended.kept.push((Field::After, Media::Json, text));
        }
        self.view.told(result, after);
    }
}

/// Returns the effect of a call, with what was asked; none if it has none of its own.
pub(super) fn effect_of(
    place: &Place,
    name: &str,
    (what, asked): (&What<'_>, &str),
    touches: Option<&Touches>,
    decision: DecisionId,
) -> Option<Effect> {
    let What::ToolCall { class, by, .. } = what else {
        return None;
    };
    Some(Effect {
        by: Some(*by),
        class: *class,
        key: match touches {
            Some(touches) => identity_key(place, name, &touches.identity, decision),
            None => effect_key(place, name, asked, decision),
        },
        reads: touches.map_or_else(Vec::new, |touches| touches.reads.clone()),
        writes: touches.map_or_else(Vec::new, |touches| touches.writes.clone()),
    })
}

/// The identity of an effect: the run, who asked for it, the tool and the arguments.
fn effect_key(place: &Place, tool: &str, arguments: &str, decision: DecisionId) -> Digest {
    let asker = asker(place, decision);
    identity(place.run.id, asker, tool, &canonical_text(arguments))
}

/// The same, without the arguments that may differ from one time to the next.
fn identity_key(place: &Place, tool: &str, arguments: &Value, decision: DecisionId) -> Digest {
    let asker = asker(place, decision);
    identity(place.run.id, asker, tool, &canonical_of(arguments))
}

fn asker(place: &Place, decision: DecisionId) -> DecisionId {
    place
        .joined
        .as_ref()
        .map_or(decision, |asked| asked.decision)
}

/// Arguments in their canonical form, or as they came if they have none.
pub(super) fn canonical_text(arguments: &str) -> Vec<u8> {
    let value: Option<Value> = serde_json::from_str(arguments).ok();
    let canonical = value.and_then(|value| canonical::to_vec(&value).ok());
    canonical.unwrap_or_else(|| arguments.as_bytes().to_vec())
}

/// The same, of arguments that are read.
pub(super) fn canonical_of(arguments: &Value) -> Vec<u8> {
    canonical::to_vec(arguments).unwrap_or_else(|_| arguments.to_string().into_bytes())
}

pub(super) fn identity(run: RunId, asker: DecisionId, tool: &str, arguments: &[u8]) -> Digest {
    ledger::digest::sha256_parts(&[
        run.as_bytes(),
        asker.as_bytes(),
        tool.as_bytes(),
        b"\0",
        arguments,
    ])
}
