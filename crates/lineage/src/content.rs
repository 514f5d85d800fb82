//! Reads text: remembers what it says first, and tells what it carries from elsewhere.

use model::{CauseKind, Evidence, Kind, RunId, Strength};

use crate::arguments::Arguments;
use crate::roster::{Found, Roster};
use crate::run::{Carried, HEARD, Memory, Print, STANDING};
use crate::scan::{Cluster, Token, hash_exact, scan};
use crate::tracer::Options;
use crate::value::{compound_counts, is_plain, weigh, word_counts};
use crate::winnow::{GRAM, WINDOW, Winnow};

/// Words whose hashes say what a turn is about: at least four letters, at most so many of them.
const TURN_WORDS_MAX: usize = 512;
const TURN_WORD_LEN: usize = 4;
/// A value as long as this is made by a machine, and traced across runs by itself.
const ALONE_LEN: usize = 16;
/// Values of one call that help to recognise its result.
const VALUES_MAX: usize = 64;

/// What to do with a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Whom its content belongs to where it is new.
    pub(crate) owner: u64,
    /// Whether to say what it carries from elsewhere.
    pub(crate) trace: bool,
    /// Whether an agent or a tool made it, so that other runs may trace to it. Else it came in
    /// from outside the run, perhaps from another one.
    pub(crate) shared: bool,
    /// The run that reads, and the agent in it.
    pub(crate) run: RunId,
    pub(crate) agent: u64,
}

/// Whose first-seen content is for an agent that meets it again: `me`, the decision that does, where
/// the agent was told it from outside itself.
fn owner_for(first: u64, (me, agent): (u64, u64), roster: &Roster) -> u64 {
    let owner = decision(first);
    let told = || roster.get(owner).is_some_and(|known| known.agent == agent);
    if first != STANDING && first & HEARD != 0 && told() {
        me
    } else {
        owner
    }
}

impl Reading {
    /// The decision whose content it is, or that was told it.
    const fn me(&self) -> u64 {
        decision(self.owner)
    }
}

/// The decision that an owner is, however it came by its text.
const fn decision(owner: u64) -> u64 {
    if owner == STANDING {
        STANDING
    } else {
        owner & !HEARD
    }
}

/// What a text carries from earlier decisions.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Rare values by the decision that held them first.
    pub(crate) values: Vec<(u64, Strength)>,
    /// Passages by the decision that held them first.
    pub(crate) passages: Vec<Passage>,
    /// Fingerprints of the text.
    pub(crate) prints: u32,
    /// Hashes of its longer words, sorted, without repeats.
    pub(crate) words: Vec<u64>,
}

/// Text of one earlier decision found again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    pub(crate) owner: u64,
    /// Fingerprints found.
    pub(crate) prints: u32,
    /// Words of the longest unbroken stretch.
    pub(crate) words: usize,
}

/// Reads one text into memory.
pub(crate) fn read(
    text: &str,
    how: Reading,
    memory: &mut Memory,
    mut realm: Option<&mut Memory>,
    (roster, options): (&Roster, &Options),
) -> Contents {
    // About half of what prose of this length brings, so that little is reserved in vain.
    memory.values.reserve(text.len() / 64);
    memory.prints.reserve(text.len() / 64);
    let mut contents = Contents::default();
    let mut winnow = Winnow::new();
    let mut stretch = Stretch::default();
    scan(text, options.seed, |bytes, cluster| {
        values(
            bytes,
            cluster,
            how,
            memory,
            realm.as_deref_mut(),
            (&mut contents, roster),
        );
        for word in cluster.words {
            if how.trace
                && word.end - word.start >= TURN_WORD_LEN
                && contents.words.len() < TURN_WORDS_MAX
            {
                contents.words.push(word.hash);
            }
            winnow.word(word.hash, |print, at| {
                let owner = meet(print, how, memory, realm.as_deref_mut(), (roster, options));
                contents.prints += 1;
                if how.trace {
                    stretch.next(owner, at, how.me(), &mut contents.passages);
                }
            });
        }
    });
    winnow.end(|print, at| {
        let owner = meet(print, how, memory, realm.as_deref_mut(), (roster, options));
        contents.prints += 1;
        if how.trace {
            stretch.next(owner, at, how.me(), &mut contents.passages);
        }
    });
    contents.words.sort_unstable();
    contents.words.dedup();
    contents
}

/// Remembers a fingerprint, and returns whose it is: nobody's where too many have it.
///
/// Within a run that is whoever had it first. Between runs it is whoever had it last: text is
/// handed on, and the last that had it is the likeliest to have handed it over.
fn meet(
    print: u64,
    how: Reading,
    memory: &mut Memory,
    realm: Option<&mut Memory>,
    (roster, options): (&Roster, &Options),
) -> Option<u64> {
    let known = memory.prints.first(print, Print::new(how.owner));
    let mut owner = known.owner();
    let mut common = false;
    if decision(owner) != how.me() {
        known.meet();
        common = known.count() > options.common_max;
    }
    if let Some(realm) = realm {
        if how.shared {
            let last = realm.prints.first(print, Print::new(how.owner));
            if last.owner() != how.owner {
                last.pass_to(how.owner);
            }
        } else if owner != STANDING
            && let Some(last) = realm.prints.get(print)
            && last.count() <= options.common_max
            && roster
                .get(last.owner())
                .is_some_and(|known| known.run != how.run)
        {
            owner = last.owner();
            common = false;
        }
    }
    (!common).then(|| owner_for(owner, (how.me(), how.agent), roster))
}

/// The unbroken stretch of fingerprints of one owner that is being read.
#[derive(Debug, Default)]
struct Stretch {
    owner: Option<u64>,
    first: usize,
    last: usize,
}

impl Stretch {
    fn next(&mut self, owner: Option<u64>, at: usize, me: u64, passages: &mut Vec<Passage>) {
        // What is everywhere neither makes a stretch nor breaks one.
        let Some(owner) = owner else {
            return;
        };
        if owner == me || owner == STANDING {
            self.owner = None;
            return;
        }
        if self.owner != Some(owner) || at > self.last + WINDOW {
            self.owner = Some(owner);
            self.first = at;
        }
        self.last = at;
        let words = self.last + GRAM - self.first;
        match passages.iter_mut().find(|p| p.owner == owner) {
            Some(passage) => {
                passage.prints += 1;
                passage.words = passage.words.max(words);
            }
            None => passages.push(Passage {
                owner,
                prints: 1,
                words,
            }),
        }
    }
}

/// Remembers the values of a cluster and notes the rare ones that are not new.
fn values(
    bytes: &[u8],
    cluster: Cluster<'_>,
    how: Reading,
    memory: &mut Memory,
    mut realm: Option<&mut Memory>,
    (contents, roster): (&mut Contents, &Roster),
) {
    if let [word] = cluster.words
        && is_plain(word)
    {
        return;
    }
    // The largest token that is known speaks for what it is made of.
    let mut spoken = 0;
    let mut note = |token: &Token, counts: bool| {
        if !counts {
            return;
        }
        let mut owner = *memory.values.first(token.hash, how.owner);
        if owner == how.owner
            && let Some(realm) = realm.as_deref_mut()
            && let Some(elsewhere) = across(token, bytes, how, realm)
        {
            // Brought in from another run: what carries it on depends on where it came from.
            memory.values.put(token.hash, elsewhere);
            owner = elsewhere;
        }
        if owner == how.owner {
            return;
        }
        let owner = owner_for(owner, (how.me(), how.agent), roster);
        if how.trace
            && token.start >= spoken
            && owner != STANDING
            && owner != how.me()
            && weigh(&bytes[token.start..token.end], false) == Some(Strength::Certain)
            && !contents.values.iter().any(|(known, _)| *known == owner)
        {
            contents.values.push((owner, Strength::Certain));
        }
        spoken = spoken.max(token.end);
    };
    if let Some(whole) = &cluster.whole {
        note(whole, compound_counts(whole, bytes));
    }
    for segment in cluster.segments {
        note(segment, compound_counts(segment, bytes));
    }
    for word in cluster.words {
        note(word, word_counts(word));
    }
}

/// Looks a value up among all runs, and offers it to them.
fn across(token: &Token, bytes: &[u8], how: Reading, realm: &mut Memory) -> Option<u64> {
    if token.end - token.start < ALONE_LEN
        || weigh(&bytes[token.start..token.end], false) != Some(Strength::Certain)
    {
        return None;
    }
    let owner = if how.shared {
        *realm.values.first(token.hash, how.owner)
    } else {
        realm.values.get(token.hash)?
    };
    (owner != how.owner).then_some(owner)
}

/// Finds the values in the arguments of a call that were seen before; remembers the others as
/// `owner`'s own, a decision of `agent`.
pub(crate) fn arguments(
    given: &Arguments<'_>,
    (owner, agent): (u64, u64),
    memory: &mut Memory,
    (roster, options): (&Roster, &Options),
) -> (Vec<Carried>, Vec<u64>) {
    let mut carried: Vec<Carried> = Vec::new();
    let mut hashes = Vec::new();
    given.leaves(&mut |at, leaf| {
        scan(leaf, options.seed, |bytes, cluster| {
            let mut spoken = 0;
            let largest = cluster
                .whole
                .as_ref()
                .or(cluster.segments.first())
                .unwrap_or(&cluster.words[0]);
            let outer = (largest.start, largest.end);
            let alone = is_all(bytes, outer);
            let tokens = cluster
                .whole
                .iter()
                .chain(cluster.segments)
                .chain(cluster.words);
            for token in tokens {
                let counts = if token.parts > 1 {
                    compound_counts(token, bytes)
                } else {
                    word_counts(token)
                };
                if !counts {
                    continue;
                }
                if hashes.len() < VALUES_MAX {
                    hashes.push(token.hash);
                }
                let first = *memory.values.first(token.hash, owner);
                if first == owner || token.start < spoken {
                    continue;
                }
                spoken = token.end;
                let first = owner_for(first, (owner, agent), roster);
                if first == STANDING || first == owner {
                    continue;
                }
                let is_outer = (token.start, token.end) == outer;
                let bytes = &bytes[token.start..token.end];
                let Some(strength) = weigh(bytes, alone && is_outer) else {
                    continue;
                };
                // A piece of a larger token that is not known itself proves something only if the
                // piece is rare.
                if strength == Strength::Possible && !is_outer {
                    continue;
                }
                let found = Carried {
                    owner: first,
                    strength,
                    at: at.to_owned(),
                };
                match carried.iter().position(|c| c.owner == first) {
                    Some(i) if carried[i].strength < strength => carried[i] = found,
                    None if carried.len() < options.causes_max => carried.push(found),
                    Some(_) | None => {}
                }
            }
        });
    });
    (carried, hashes)
}

/// Whether nothing but signs surrounds a token.
fn is_all(bytes: &[u8], (start, end): (usize, usize)) -> bool {
    let sign = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte < 128;
    bytes[..start].iter().all(sign) && bytes[end..].iter().all(sign)
}

/// Turns what a text carries into causes of whoever wrote it.
///
/// In a history that all agents share, what one of them said was simply there: a passage of it
/// is a message only from whom the decision answers anyway.
pub(crate) fn causes_of_contents(
    contents: &Contents,
    reader: (RunId, u64),
    one_history: bool,
    found: &mut Found,
    roster: &Roster,
    options: &Options,
) {
    for &(owner, strength) in &contents.values {
        let at = String::new();
        found.add(
            roster,
            owner,
            CauseKind::Value,
            strength,
            Evidence::Value { at },
        );
    }
    for passage in &contents.passages {
        if passage.words >= options.passage_words
            && let Some(mut kind) = kind_towards(roster, passage.owner, reader)
        {
            if one_history
                && kind == CauseKind::Message
                && !found.has(roster, passage.owner, CauseKind::Message)
            {
                kind = CauseKind::Context;
            }
            let percent = percent(passage, contents.prints, roster);
            found.add(
                roster,
                passage.owner,
                kind,
                Strength::Certain,
                Evidence::Overlap { percent },
            );
        }
    }
}

/// In what way `reader` depends on text of `owner`. Names tell agents apart within a run only.
pub(crate) fn kind_towards(
    roster: &Roster,
    owner: u64,
    (run, agent): (RunId, u64),
) -> Option<CauseKind> {
    let known = roster.get(owner)?;
    Some(match known.kind {
        Kind::ToolCall => CauseKind::Result,
        _ if known.agent != agent || known.run != run => CauseKind::Message,
        _ => CauseKind::Context,
    })
}

/// Share of the smaller text's fingerprints that both have.
pub(crate) fn percent(passage: &Passage, mine: u32, roster: &Roster) -> u8 {
    let theirs = roster
        .get(passage.owner)
        .map_or(mine, |known| known.prints)
        .max(1);
    let share = u64::from(passage.prints) * 100 / u64::from(mine.min(theirs).max(1));
    u8::try_from(share.min(100)).expect("at most a hundred")
}

/// Hash of a whole text, by which an equal one is known.
pub(crate) fn text_hash(text: &str, options: &Options) -> u64 {
    hash_exact(text.trim().as_bytes(), options.seed ^ 0x7e97)
}
