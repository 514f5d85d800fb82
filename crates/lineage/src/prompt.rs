//! Exposure through a resent history: which earlier decisions are in the prompt.
//!
//! A hash chain over the items finds the longest prefix that an earlier request had, so only what
//! is new since then is looked at. Where no prefix is known (the history was shortened, or comes
//! from elsewhere), the agent's last known message takes its place.

use model::{CauseKind, Evidence, Kind, RunId, Strength};

use crate::beginnings::Beginnings;
use crate::calls::{id_hash, name_hash};
use crate::content::{Passage, Reading, kind_towards, percent, read, text_hash};
use crate::roster::{Found, Roster};
use crate::run::{HEARD, Memory, Prefix, Run, STANDING};
use crate::scan::{chain, hash_exact};
use crate::seen::{Asked, Item, Role};
use crate::tracer::Options;

/// Shares of fingerprints, in percent, from which an overlap with another agent is worth an edge.
const OVERLAP_MIN: u8 = 10;
/// Fingerprints that such an overlap must have.
const OVERLAP_PRINTS: u32 = 3;

/// Who reads a prompt, and what is known around him.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) me: u64,
    pub(crate) agent: u64,
    pub(crate) run: RunId,
    pub(crate) roster: &'a Roster,
    pub(crate) options: &'a Options,
}

/// Links an inference to what its request resends; returns the hash chain over the request.
pub(crate) fn expose(
    items: &[Item<'_>],
    reader: Reader<'_>,
    (run, beginnings): (&mut Run, &mut Beginnings),
    mut realm: Option<&mut Memory>,
    found: &mut Found,
) -> u64 {
    let hashes: Vec<u64> = items
        .iter()
        .map(|item| item_hash(item, reader.options))
        .collect();
    let mut chain = START;
    let mut from = 0;
    let mut known: Option<Prefix> = None;
    for (i, hash) in hashes.iter().enumerate() {
        chain = link(chain, *hash, reader.options);
        if let Some(prefix) = beginnings.look(&mut run.prefixes, chain) {
            from = i + 1;
            known = Some(prefix);
        }
    }
    let own = match known {
        Some(Prefix { number, answered }) => Some(if answered {
            (number, Evidence::EqualText)
        } else {
            (number, Evidence::HistoryPrefix)
        }),
        None => last_own(items, run, reader.options).map(|(at, number, evidence)| {
            from = at + 1;
            (number, evidence)
        }),
    };
    if let Some((number, evidence)) = own {
        let (kind, strength) = (CauseKind::Context, Strength::Possible);
        found.add(reader.roster, number, kind, strength, evidence);
    }
    for (i, (item, hash)) in items.iter().zip(hashes).enumerate() {
        let new = run.items.get(hash).is_none();
        run.items.put(hash, ());
        // A known prefix was looked at when it was new. Without one, what the agent's own last
        // message covers is looked at where nobody has met it.
        if i >= from || (known.is_none() && new) {
            resolve(item, new, reader, run, realm.as_deref_mut(), found);
        }
    }
    chain
}

/// Begin of every chain.
const START: u64 = 0x5e9d;

const fn link(history: u64, item: u64, options: &Options) -> u64 {
    chain(history, item, options.seed)
}

/// Remembers that histories which go on with this output continue the inference.
pub(crate) fn register(
    chain: u64,
    number: u64,
    output: Option<&str>,
    asked: &[Asked<'_>],
    (run, beginnings): (&mut Run, &mut Beginnings),
    options: &Options,
) {
    let item = Item {
        role: Role::Assistant,
        text: output.unwrap_or_default(),
        asked,
        call_id: None,
    };
    let next = link(chain, item_hash(&item, options), options);
    let prefix = |answered| Prefix { number, answered };
    beginnings.enter(&mut run.prefixes, chain, prefix(false));
    if output.is_some() || !asked.is_empty() {
        beginnings.enter(&mut run.prefixes, next, prefix(true));
    }
}

/// Finds the latest inference of all runs that was sent with the longest known beginning of a
/// history.
pub(crate) fn continued(
    items: &[Item<'_>],
    beginnings: &Beginnings,
    options: &Options,
) -> Option<u64> {
    let mut chain = START;
    let mut longest = None;
    for item in items {
        chain = link(chain, item_hash(item, options), options);
        longest = beginnings.latest(chain).or(longest);
    }
    longest
}

/// The last assistant message of a history that is known.
fn last_own(
    items: &[Item<'_>],
    run: &mut Run,
    options: &Options,
) -> Option<(usize, u64, Evidence)> {
    for (at, item) in items.iter().enumerate().rev() {
        if item.role != Role::Assistant {
            continue;
        }
        if let Some(number) = known_text(item.text, run, options) {
            return Some((at, number, Evidence::EqualText));
        }
        if let Some(number) = item.asked.iter().find_map(|call| {
            let id = id_hash(call.id?, options);
            run.askers.get(id)
        }) {
            return Some((at, number, Evidence::CallId));
        }
    }
    None
}

fn known_text(text: &str, run: &mut Run, options: &Options) -> Option<u64> {
    if text.trim().is_empty() {
        return None;
    }
    run.memory.texts.get(text_hash(text, options))
}

/// Links one new item to the decision that it comes from, or takes it in as news.
fn resolve(
    item: &Item<'_>,
    new: bool,
    reader: Reader<'_>,
    run: &mut Run,
    mut realm: Option<&mut Memory>,
    found: &mut Found,
) {
    let Reader {
        me,
        agent,
        roster,
        options,
        ..
    } = reader;
    let mut link = |number: u64, kind: CauseKind, strength: Strength, evidence: Evidence| {
        found.add(roster, number, kind, strength, evidence);
    };
    // Whom the text belongs to where it is new: what came in from outside is nobody's here, and the
    // answer to a call that only its asker is known of is the asker's.
    let mut from = me | HEARD;
    if item.role == Role::Tool
        && let Some(id) = item.call_id
    {
        let id = id_hash(id, options);
        if let Some(number) = run.calls.get(id) {
            link(
                number,
                CauseKind::Result,
                Strength::Possible,
                Evidence::CallId,
            );
            return;
        }
        if let Some(number) = run.askers.get(id) {
            from = number;
            link(
                number,
                CauseKind::Result,
                Strength::Possible,
                Evidence::CallId,
            );
        }
    }
    if item.role != Role::System {
        let text = text_hash(item.text, options);
        let here = known_text(item.text, run, options);
        let elsewhere = realm
            .as_deref_mut()
            .filter(|_| here.is_none() && !item.text.trim().is_empty())
            .and_then(|realm| realm.texts.get(text));
        if let Some(number) = here.or(elsewhere)
            && let Some(kind) = kind_towards(roster, number, (reader.run, agent))
        {
            // A short text may only be alike.
            let long = item.text.split_ascii_whitespace().count() >= options.passage_words;
            let strength = strength(long, number, reader);
            link(number, kind, strength, Evidence::EqualText);
            return;
        }
    }
    if !new {
        return;
    }
    let standing = item.role == Role::System;
    let how = Reading {
        owner: if standing { STANDING } else { from },
        trace: !standing,
        shared: false,
        run: reader.run,
        agent,
    };
    let contents = read(item.text, how, &mut run.memory, realm, (roster, options));
    let senders = senders(&contents.passages, reader.run, roster);
    for passage in &senders {
        let share = percent(passage, contents.prints, roster);
        let long = passage.words >= options.passage_words;
        if !long && (share < OVERLAP_MIN || passage.prints < OVERLAP_PRINTS) {
            continue;
        }
        let Some(kind) = kind_towards(roster, passage.owner, (reader.run, agent)) else {
            continue;
        };
        let strength = strength(long, passage.owner, reader);
        let evidence = Evidence::Overlap { percent: share };
        found.add(roster, passage.owner, kind, strength, evidence);
    }
    // That a value stands in the prompt is exposure; only using it is more. Where its run sent a
    // message, it came with that.
    for &(owner, _) in &contents.values {
        let sent = senders
            .iter()
            .any(|sender| run_of(roster, sender.owner) == run_of(roster, owner));
        if !sent {
            let at = String::new();
            let (kind, strength) = (CauseKind::Value, Strength::Possible);
            found.add(roster, owner, kind, strength, Evidence::Value { at });
        }
    }
}

/// To have text before one is exposure. But a long text of another agent, or from another run,
/// did not come here by itself: it was handed over.
fn strength(long: bool, owner: u64, reader: Reader<'_>) -> Strength {
    let handed = reader.roster.get(owner).is_some_and(|known| {
        known.run != reader.run || known.kind == Kind::Inference && known.agent != reader.agent
    });
    if long && handed {
        Strength::Certain
    } else {
        Strength::Possible
    }
}

/// One item is one message, so of each other run it comes from one decision: the one with most of
/// its text in it. Passages of the own run stay as they are.
fn senders(passages: &[Passage], own: RunId, roster: &Roster) -> Vec<Passage> {
    let mut best: Vec<(Option<RunId>, Passage)> = Vec::new();
    for passage in passages {
        let run = run_of(roster, passage.owner);
        match best.iter_mut().find(|(other, _)| *other == run) {
            Some((_, known)) if run != Some(own) => {
                if passage.prints > known.prints {
                    *known = *passage;
                }
            }
            _ => best.push((run, *passage)),
        }
    }
    best.into_iter().map(|(_, passage)| passage).collect()
}

fn run_of(roster: &Roster, owner: u64) -> Option<RunId> {
    roster.get(owner).map(|known| known.run)
}

fn item_hash(item: &Item<'_>, options: &Options) -> u64 {
    let mut state = match item.role {
        Role::System => 1,
        Role::User => 2,
        Role::Assistant => 3,
        Role::Tool => 4,
    };
    let text = hash_exact(item.text.trim().as_bytes(), options.seed);
    state = chain(state, text, options.seed);
    for call in item.asked {
        // The id says enough; arguments may come back written otherwise.
        let call = match call.id {
            Some(id) => id_hash(id, options),
            None => name_hash(call.name, options),
        };
        state = chain(state, call, options.seed);
    }
    if let Some(id) = item.call_id {
        // One more step than a call that was asked for, so that neither is taken for the other.
        state = chain(state, 5, options.seed);
        state = chain(state, id_hash(id, options), options.seed);
    }
    state
}
