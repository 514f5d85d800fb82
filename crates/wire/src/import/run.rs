//! What every format is read into: runs of steps.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use model::{Account, CauseKind, Evidence, Kind, Media, Outcome, Timestamp};

/// One recorded run.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// What the source calls it.
    pub external: Option<String>,
    /// A name for people, where the source has one.
    pub title: Option<String>,
    /// Where in the source it lies: the whole file, a pointer, lines.
    pub position: String,
    /// When the source says it began.
    pub started: Option<Timestamp>,
    /// What it ran with: `model.name`, `tools.<name>.definition`, versions.
    pub environment: BTreeMap<String, String>,
    /// Everything of the run that is no step, as JSON text.
    pub rest: Option<Cow<'a, str>>,
    /// Its steps; each comes after the steps that it links to.
    pub steps: Vec<Step<'a>>,
}

/// One step of a run: a decision, as far as the source shows it.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Where in the source it lies.
    pub position: Position,
    /// What kind of decision.
    pub kind: Kind,
    /// Who decides.
    pub agent: Cow<'a, str>,
    /// Its version, where the source has one.
    pub agent_version: Option<Cow<'a, str>>,
    /// The agent that is addressed: a hand-off or a message.
    pub to: Option<Cow<'a, str>>,
    /// The tool, model or span; of inferences and tool calls always there, `unknown` at worst.
    pub name: Option<Cow<'a, str>>,
    /// What was asked: prompt or arguments.
    pub asked: Option<Text<'a>>,
    /// What was chosen: the output.
    pub chosen: Option<Text<'a>>,
    /// Why, as far as the source shows it.
    pub reasoning: Option<Text<'a>>,
    /// What came back.
    pub result: Option<Text<'a>>,
    /// The item as it stood in the file, byte for byte. Of a tool call with a result in a
    /// message of its own, that message: the call stands in the source of the step that asked.
    pub source: Cow<'a, str>,
    /// What the fields above leave unsaid of `source`.
    pub unsaid: Unsaid,
    /// The id of the call.
    pub call_id: Option<Cow<'a, str>>,
    /// Causes that the source states outright.
    pub links: Vec<Link>,
    /// Index of the step that contains this one, where the source has a tree.
    pub parent: Option<usize>,
    /// How it ended.
    pub outcome: Outcome,
    /// When the source says it began.
    pub started: Option<Timestamp>,
    /// When the source says it ended.
    pub ended: Option<Timestamp>,
    /// What of it is known in part, or cannot be known from this source.
    pub gaps: Gaps,
    /// What is odd about it.
    pub marks: Marks,
}

/// What the fields of a step leave unsaid of its source, so that nothing need be kept twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unsaid {
    /// Nobody has looked: all of it has to be kept.
    #[default]
    All,
    /// These members of the item, as the text of an object. The decoder has looked at every key.
    Members(String),
    /// Nothing.
    Nothing,
}

/// A content and how to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// JSON as it came, or plain text.
    pub media: Media,
    /// The content.
    pub text: Cow<'a, str>,
}

/// A cause that the source states outright.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index of the step depended on, in the same run.
    pub step: usize,
    /// In what way.
    pub kind: CauseKind,
    /// How the source says so.
    pub evidence: Evidence,
}

/// What is odd about a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// A tool call without a result: nobody knows how it ended.
    pub orphaned_call: bool,
    /// A tool result without a call: nobody knows what was asked.
    pub orphaned_result: bool,
    /// The call's id was used before by another call, which had its result by then.
    pub reused_call_id: bool,
    /// The source names a parent that it does not contain.
    pub missing_parent: bool,
}

/// Where in a file something lies: a JSON Pointer, and the line where a file has one value a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The line, counted from 1, if the file holds one value a line.
    pub line: Option<u64>,
    /// JSON Pointer (RFC 6901) within the file, or within the line.
    pub pointer: Box<str>,
}

impl Position {
    /// Returns the position of something inside, by one more token of the pointer.
    #[must_use]
    pub fn then(&self, token: impl fmt::Display) -> Self {
        let token = token.to_string().replace('~', "~0").replace('/', "~1");
        Self {
            line: self.line,
            pointer: format!("{}/{token}", self.pointer).into(),
        }
    }

    /// Like [`Position::then`], for the `index`-th element of an array.
    #[must_use]
    pub fn at(&self, index: usize) -> Self {
        Self {
            line: self.line,
            pointer: self.pointer_at(index),
        }
    }

    /// With room for it from the start: there is one for each message of a file.
    fn pointer_at(&self, index: usize) -> Box<str> {
        let mut pointer = String::with_capacity(self.pointer.len() + "/12345".len());
        pointer.push_str(&self.pointer);
        let _ = write!(pointer, "/{index}");
        pointer.into()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &*self.pointer) {
            (None, "") => f.write_str("the whole file"),
            (None, pointer) => f.write_str(pointer),
            (Some(line), "") => write!(f, "line {line}"),
            (Some(line), pointer) => write!(f, "line {line}, {pointer}"),
        }
    }
}

impl<'a> Text<'a> {
    /// Plain text.
    pub(crate) fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            media: Media::Text,
            text: text.into(),
        }
    }

    /// JSON, as it came.
    pub(crate) fn json(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            media: Media::Json,
            text: text.into(),
        }
    }
}

impl<'a> Step<'a> {
    /// A step of which nothing is known yet but what it is and where it stands.
    pub(crate) fn new(
        position: Position,
        kind: Kind,
        agent: impl Into<Cow<'a, str>>,
        source: impl Into<Cow<'a, str>>,
    ) -> Self {
        let name = matches!(kind, Kind::Inference | Kind::ToolCall).then_some("unknown".into());
        Self {
            position,
            kind,
            agent: agent.into(),
            agent_version: None,
            to: None,
            name,
            asked: None,
            chosen: None,
            reasoning: None,
            result: None,
            source: source.into(),
            unsaid: Unsaid::All,
            call_id: None,
            links: Vec::new(),
            parent: None,
            outcome: Outcome::Succeeded,
            started: None,
            ended: None,
            gaps: Gaps::of(kind),
            marks: Marks::default(),
        }
    }

    /// What has to be kept of the source beside the fields: it stands for an item whose fields say
    /// neither what was asked nor what was chosen.
    #[must_use]
    pub fn unsaid(&self) -> Option<&str> {
        let told = self.asked.is_some() || self.chosen.is_some();
        match &self.unsaid {
            Unsaid::Members(members) if told => Some(members),
            Unsaid::Nothing if told => None,
            _ => Some(&self.source),
        }
    }

    /// Marks a tool call that has no result.
    pub(crate) fn orphan_call(&mut self) {
        self.marks.orphaned_call = true;
        self.outcome = Outcome::Unknown;
        self.gaps.unknowable(Gaps::OUTCOME);
    }

    /// Marks a tool result that has no call.
    pub(crate) fn orphan_result(&mut self) {
        self.marks.orphaned_result = true;
        self.gaps.unknowable(Gaps::ASKED);
        self.gaps.partly(Gaps::OUTCOME);
    }

    /// Takes over the times that the source gives, and says which are missing.
    pub(crate) fn timed(&mut self, started: Option<Timestamp>, ended: Option<Timestamp>) {
        self.started = started;
        self.ended = ended;
        match (started, ended) {
            (Some(_), Some(_)) => self.gaps.known(Gaps::TIMES),
            (None, None) => self.gaps.unknowable(Gaps::TIMES),
            _ => self.gaps.partly(Gaps::TIMES),
        }
    }

    /// Takes over the reasoning that the source shows. It is what was shown, not all there was.
    pub(crate) fn reasoned(&mut self, reasoning: Option<Text<'a>>) {
        if reasoning.is_some() {
            self.reasoning = reasoning;
            self.gaps.partly(Gaps::REASONING);
        }
    }
}

/// What of a step is known in part or not at all, by field of [`Account::FIELDS`]: small enough
/// to copy, and turned into an [`Account`] where one is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    partly: u16,
    unknowable: u16,
}

impl Gaps {
    pub(crate) const AGENT: u16 = 1 << 0;
    pub(crate) const APPROVALS: u16 = 1 << 1;
    pub(crate) const ASKED: u16 = 1 << 2;
    pub(crate) const CAUSES: u16 = 1 << 3;
    pub(crate) const CHOSEN: u16 = 1 << 4;
    pub(crate) const EFFECTS: u16 = 1 << 5;
    pub(crate) const ENVIRONMENT: u16 = 1 << 6;
    pub(crate) const OPTIONS: u16 = 1 << 7;
    pub(crate) const OUTCOME: u16 = 1 << 8;
    pub(crate) const POLICY: u16 = 1 << 9;
    pub(crate) const REASONING: u16 = 1 << 10;
    pub(crate) const TIMES: u16 = 1 << 11;

    /// What no recording tells of a step of this kind. Decoders take back what theirs does tell.
    ///
    /// | Field | Message | Inference | Tool call | Others |
    /// |---|---|---|---|---|
    /// | approvals, options, policy | unknowable | unknowable | unknowable | unknowable |
    /// | environment, reasoning, times | unknowable | unknowable | unknowable | unknowable |
    /// | asked | unknowable: what moved its author | partly: the history before it | known | partly |
    /// | causes | partly: inferred | partly | partly | partly |
    /// | effects | known: none | known: none | partly: tool and arguments, not resources | partly |
    /// | outcome | known | known | partly: something came back | partly |
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        let always = Self::APPROVALS
            | Self::OPTIONS
            | Self::POLICY
            | Self::ENVIRONMENT
            | Self::REASONING
            | Self::TIMES;
        let (partly, unknowable) = match kind {
            Kind::Message => (Self::CAUSES, always | Self::ASKED),
            Kind::Inference => (Self::CAUSES | Self::ASKED, always),
            Kind::ToolCall => (Self::CAUSES | Self::EFFECTS | Self::OUTCOME, always),
            _ => (
                Self::CAUSES | Self::ASKED | Self::EFFECTS | Self::OUTCOME,
                always,
            ),
        };
        Self { partly, unknowable }
    }

    pub(crate) const fn known(&mut self, fields: u16) {
        self.partly &= !fields;
        self.unknowable &= !fields;
    }

    pub(crate) const fn partly(&mut self, fields: u16) {
        self.partly |= fields;
        self.unknowable &= !fields;
    }

    pub(crate) const fn unknowable(&mut self, fields: u16) {
        self.partly &= !fields;
        self.unknowable |= fields;
    }

    pub(crate) const fn is_partly(self, field: u16) -> bool {
        self.partly & field != 0
    }

    /// Returns the account, field by field, as the record keeps it.
    #[must_use]
    pub fn account(self) -> Account {
        let named = |fields: u16| {
            let set = |(bit, _): &(usize, &&str)| fields & (1 << bit) != 0;
            let names = Account::FIELDS.iter().enumerate().filter(set);
            names.map(|(_, name)| Cow::Borrowed(*name)).collect()
        };
        Account {
            partly: named(self.partly),
            unknowable: named(self.unknowable),
        }
    }
}
