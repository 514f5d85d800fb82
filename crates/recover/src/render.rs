//! A plan as text, and what two plans have not in common.
//!
//! Names of records and fields are shown, and what is in them is not: whoever may see a plan need
//! not be allowed to see the records. Arguments of calls stay out for the same reason.

use std::collections::BTreeMap;
use std::fmt;

use model::DecisionId;

use crate::plan::{Act, Affected, Conflict, Fate, Plan, Rule, Step};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told(&|_| None).fmt(f)
    }
}

/// A plan with the names of its decisions.
struct Told<'a> {
    plan: &'a Plan,
    name: &'a dyn Fn(DecisionId) -> Option<String>,
}

impl Plan {
    /// Returns the plan as text in which each decision has beside its id what `name` calls it.
    pub fn told<'a>(
        &'a self,
        name: &'a dyn Fn(DecisionId) -> Option<String>,
    ) -> impl fmt::Display + 'a {
        Told { plan: self, name }
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        let roots = plan.incident.roots.len();
        let what = if roots == 1 { "decision" } else { "decisions" };
        write!(f, "Takes back {roots} {what}")?;
        match plan.incident.reason.as_str() {
            "" => writeln!(f)?,
            reason => writeln!(f, ": {reason}")?,
        }
        let (concerned, coverage) = (plan.affected.len(), plan.coverage());
        writeln!(f, "Of {concerned} concerned: {coverage}")?;
        section(f, "What becomes of each", &plan.affected, |affected| {
            let named = match (self.name)(affected.decision) {
                Some(name) => format!("{name}: "),
                None => String::new(),
            };
            let (decision, fate) = (affected.decision, &affected.fate);
            format!("{decision}  {named}{fate}{}", steps(affected))
        })?;
        let named = |decision: DecisionId| match (self.name)(decision) {
            Some(name) => format!("{decision}  {name}"),
            None => format!("{decision} "),
        };
        section(
            f,
            "May depend on it, and stays",
            &plan.possible,
            |possible| {
                let (decision, cause) = (named(possible.decision), possible.cause);
                format!("{decision} on {cause}: {}", possible.evidence)
            },
        )?;
        section(f, "Cannot stand without it", &plan.torn, |torn| {
            let (decision, on) = (named(torn.decision), torn.relies_on);
            format!("{decision} relies on {on}: {}", torn.why)
        })?;
        section(
            f,
            "Written by others since",
            &plan.conflicts,
            Conflict::to_string,
        )?;
        section(f, "Steps", &plan.steps, Step::to_string)
    }
}

/// How an agent gets its state.
const ASKS: &str = ": it asks for it with `restore` of the API";

fn section<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    list: &[T],
    line: impl Fn(&T) -> String,
) -> fmt::Result {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    for item in list {
        // Words of agents and tools make no line of their own.
        writeln!(f, "  {}", line(item).replace(char::is_control, "\u{fffd}"))?;
    }
    Ok(())
}

fn steps(affected: &Affected) -> String {
    match affected.steps.as_slice() {
        [] => String::new(),
        [one] => format!(" (step {one})"),
        several => format!(" (steps {})", numbers(several)),
    }
}

/// Numbers in few words: `2 to 5, 9`.
fn numbers(numbers: &[u32]) -> String {
    let follow = |one: &u32, next: &u32| one.checked_add(1) == Some(*next);
    let spans = numbers.chunk_by(follow).map(|span| match span {
        [first, .., last] if span.len() > 2 => format!("{first} to {last}"),
        few => few
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    });
    spans.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToUndo => f.write_str("nothing to undo"),
            Self::Undone => f.write_str("undone"),
            Self::Residue(left) => write!(f, "undone, and leaves over: {left}"),
            Self::Stands(who) if who.is_empty() => f.write_str("stands"),
            Self::Stands(who) => write!(f, "stands; to be told: {}", who.join(", ")),
            Self::Probed => f.write_str("unknown: probed first"),
            Self::Parked => f.write_str("unknown: waits for a person"),
            Self::Kept(why) => write!(f, "kept: {why}"),
            Self::Blocked(why) => write!(f, "blocked: {why}"),
        }
    }
}

impl Fate {
    /// The fate in one or two words, for counting.
    const fn word(&self) -> &'static str {
        match self {
            Self::NothingToUndo => "nothing to undo",
            Self::Undone => "undone",
            Self::Residue(_) => "with residue",
            Self::Stands(_) => "stand",
            Self::Probed => "probed first",
            Self::Parked => "parked",
            Self::Kept(_) => "kept",
            Self::Blocked(_) => "blocked",
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<&str> = self.fields.iter().map(|at| name(at)).collect();
        write!(f, "{} of {}", fields.join(", "), self.uri)?;
        match self.by {
            Some(by) => write!(f, " by {by}")?,
            None => f.write_str(" by somebody whom the record does not know")?,
        }
        f.write_str(match self.settled {
            Some(Rule::RestoreField) => ": is put back all the same",
            Some(Rule::KeepNewer) => ": stays",
            Some(Rule::Ask) | None => ": a person has to say what holds",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3}  {}", self.n, self.act)?;
        if self.after.is_empty() {
            return Ok(());
        }
        write!(f, " (after {})", numbers(&self.after))
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold { agents } => write!(f, "hold {}", agents.join(", ")),
            Self::Probe { call, .. } => write!(f, "ask `{}` whether it happened", call.tool),
            Self::PutBack(put) => {
                let fields: Vec<&str> = put.fields.keys().map(|at| name(at)).collect();
                write!(f, "put back {} of {}", fields.join(", "), put.resource.uri)
            }
            Self::Delete { resource, .. } => write!(f, "delete {}", resource.uri),
            Self::Inverse { call, residue, .. } => {
                write!(f, "call `{}`", call.tool)?;
                match residue {
                    Some(residue) => write!(f, ", which leaves over: {residue}"),
                    None => Ok(()),
                }
            }
            // A URL may hold a secret behind its path.
            Self::Http(call) => {
                let shown = call.url.split('?').next().unwrap_or_default();
                write!(f, "send {} to {shown}", call.method)
            }
            Self::Blocked { why } => write!(f, "cannot be done: {why}"),
            Self::Again { call, .. } => write!(f, "run `{}` again", call.tool),
            Self::Restore { agent, checkpoint } => match checkpoint {
                Some(checkpoint) => {
                    write!(f, "have {agent} go back to the state of {checkpoint}{ASKS}")
                }
                None => write!(
                    f,
                    "have {agent} go back to before its first checkpoint{ASKS}"
                ),
            },
            Self::Repair { agent } => write!(f, "repair what {agent} remembers"),
            Self::Notify { who, what } => write!(f, "tell {}: {what}", who.join(", ")),
            Self::Resume { agents } => write!(f, "resume {}", agents.join(", ")),
        }
    }
}

/// A field for people: the whole record has no name.
fn name(at: &str) -> &str {
    if at.is_empty() { "all" } else { at }
}

/// Something that two plans have not in common: what the first says, and what the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub about: String,
    /// What the first plan says; none if it says nothing.
    pub from: Option<String>,
    /// What the second plan says.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = &self.about;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "~ {about}: {from} -> {to}"),
            (Some(from), None) => write!(f, "- {about}: {from}"),
            (None, to) => write!(f, "+ {about}: {}", to.as_deref().unwrap_or_default()),
        }
    }
}

impl Plan {
    /// Counts what becomes of the decisions: `3 undone, 1 stand`.
    #[must_use]
    pub fn coverage(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for affected in &self.affected {
            *counts.entry(affected.fate.word()).or_default() += 1;
        }
        if counts.is_empty() {
            return "none".to_owned();
        }
        let counts = counts.iter().map(|(word, count)| format!("{count} {word}"));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// Tells whether the plan takes everything back and leaves nothing to a person.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let undone = |fate: &Fate| matches!(fate, Fate::Undone | Fate::NothingToUndo);
        self.affected.iter().all(|affected| undone(&affected.fate))
            && self
                .conflicts
                .iter()
                .all(|conflict| conflict.settled.is_some())
            && self.torn.is_empty()
    }

    /// Returns what `other` says otherwise. Numbers of steps do not count: the same deeds in the
    /// same order are the same plan.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Vec<Change> {
        let (one, two) = (self.lines(), other.lines());
        let mut changes = Vec::new();
        for (about, (from, exact)) in &one {
            let to = two.get(about);
            if to.is_none_or(|(to, mark)| (to, mark) != (from, exact)) {
                changes.push(Change {
                    about: about.clone(),
                    from: Some(from.clone()),
                    to: to.map(|(to, _)| to.clone()),
                });
            }
        }
        for (about, (to, _)) in two.iter().filter(|(about, _)| !one.contains_key(*about)) {
            changes.push(Change {
                about: about.clone(),
                from: None,
                to: Some(to.clone()),
            });
        }
        changes
    }

    /// Everything that it says, by what it is about; with a mark of what is not shown.
    fn lines(&self) -> BTreeMap<String, (String, u32)> {
        let mut lines = BTreeMap::new();
        lines.insert("reason".to_owned(), (self.incident.reason.clone(), 0));
        for root in &self.incident.roots {
            lines.insert(format!("bad {root}"), ("taken back".to_owned(), 0));
        }
        for affected in &self.affected {
            let about = format!("decision {}", affected.decision);
            lines.insert(about, (affected.fate.to_string(), 0));
        }
        for possible in &self.possible {
            let about = format!("possible {}", possible.decision);
            lines.insert(about, ("stays".to_owned(), 0));
        }
        for conflict in &self.conflicts {
            let by = conflict.by.map(|by| format!(" {by}")).unwrap_or_default();
            let about = format!("conflict {}{by}", conflict.uri);
            lines.insert(about, (conflict.to_string(), 0));
        }
        for torn in &self.torn {
            lines.insert(format!("torn {}", torn.decision), (torn.why.clone(), 0));
        }
        let acts: BTreeMap<u32, &Act> = self.steps.iter().map(|step| (step.n, &step.act)).collect();
        let act = |n: &u32| acts.get(n).copied();
        for step in &self.steps {
            // These frame every plan and wait for all of it.
            if matches!(step.act, Act::Hold { .. } | Act::Resume { .. }) {
                continue;
            }
            let after: Vec<String> = step
                .after
                .iter()
                .filter_map(act)
                .map(Act::to_string)
                .collect();
            let of: Vec<String> = step.decisions.iter().map(DecisionId::to_string).collect();
            let about = match of.as_slice() {
                [] => format!("step `{}`", step.act),
                of => format!("step `{}` for {}", step.act, of.join(", ")),
            };
            let exact = mark(format!("{:?}", step.act).as_bytes());
            lines.insert(about, (format!("after {}", after.join(", ")), exact));
        }
        lines
    }
}

/// A short mark that tells two texts apart: not a digest that anybody relies on.
fn mark(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
