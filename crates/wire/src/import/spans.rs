//! Spans, of whatever tracer, into steps: what kind each is, who acts, and in which order.
//!
//! Attribute names are those of the OpenTelemetry semantic conventions for GenAI (old and new),
//! of OpenInference, of OpenLLMetry (`traceloop.`), and of the Vercel AI SDK (`ai.`).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use model::{CauseKind, Evidence, FailureClass, Kind, Outcome, Timestamp};

use super::attributes::Attributes;
use super::error::ImportError;
use super::json::Input;
use super::run::{Gaps, Link, Position, Step, Text};
use super::span_content;

/// A span, as the decoders hand it in.
#[derive(Debug)]
pub(crate) struct Span<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) parent: Option<Cow<'a, str>>,
    /// Other spans that it names as its causes.
    pub(crate) linked: Vec<Cow<'a, str>>,
    pub(crate) position: Position,
    pub(crate) raw: &'a str,
    pub(crate) name: Cow<'a, str>,
    /// Nanoseconds since 1970, for the order.
    pub(crate) nanos: i128,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) attributes: Attributes<'a>,
    /// What the source's own type says, where attributes do not say more.
    pub(crate) role: Option<Role>,
    pub(crate) status: Status<'a>,
    pub(crate) input: Option<Text<'a>>,
    pub(crate) output: Option<Text<'a>>,
    pub(crate) model: Option<Cow<'a, str>>,
    /// The agent that an event of the span hands over to.
    pub(crate) to: Option<Cow<'a, str>>,
}

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Model,
    Tool,
    Agent,
    Other,
}

/// How a span ended, as its source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status<'a> {
    Ok,
    /// With a message and the type of the error, where there is one.
    Error(Option<Cow<'a, str>>, Option<Cow<'a, str>>),
    /// It ended, and nothing says how.
    Unset,
    /// It never ended.
    Open,
}

/// How a source calls things, for links and errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// The field that names the parent.
    pub(crate) parent: &'static str,
    /// What an id is called in errors.
    pub(crate) id: &'static str,
}

/// Turns the spans of one run into steps. A first step, if there is one, becomes the parent of
/// every span that has none in the run.
pub(crate) fn steps<'a>(
    input: &Input<'a>,
    spans: Vec<Span<'a>>,
    first: Option<Step<'a>>,
    agent: Option<Cow<'a, str>>,
    words: Words,
) -> Result<Vec<Step<'a>>, ImportError> {
    let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        if let Some(first) = by_id.insert(&span.id, index) {
            return Err(ImportError::Duplicate {
                at: input.place(span.raw, &span.position),
                what: words.id,
                id: short(&span.id),
                first: spans[first].position.to_string(),
            });
        }
    }
    let parents: Vec<Option<usize>> = spans
        .iter()
        .map(|span| by_id.get(&**span.parent.as_ref()?).copied())
        .collect();
    let linked: Vec<Vec<usize>> = spans
        .iter()
        .map(|span| {
            let known = span.linked.iter();
            let mut known: Vec<usize> = known.filter_map(|id| by_id.get(&**id).copied()).collect();
            known.sort_unstable();
            known.dedup();
            known
        })
        .collect();
    let order = order(input, &spans, &parents, &linked)?;
    let mut placed = vec![0; spans.len()];
    let offset = usize::from(first.is_some());
    for (at, span) in order.iter().enumerate() {
        placed[*span] = at + offset;
    }
    let mut build = Build {
        steps: first.into_iter().collect(),
        acting: vec![None; spans.len()],
        fallback: agent,
        asked_for: HashMap::new(),
        called: HashMap::new(),
    };
    for index in order {
        let span = &spans[index];
        let mut links = Vec::new();
        let mut parent = None;
        if let Some(above) = parents[index] {
            parent = Some(placed[above]);
            links.push(explicit(placed[above], words.parent));
        } else if offset == 1 {
            parent = Some(0);
            links.push(explicit(0, "traceId"));
        }
        let other = linked[index]
            .iter()
            .filter(|at| parents[index] != Some(**at));
        links.extend(other.map(|at| explicit(placed[*at], "links")));
        let lost = span.parent.is_some() && parents[index].is_none();
        let acting = parents[index].and_then(|above| build.acting[above].clone());
        build.acting[index] = build.step(span, acting, parent, links, lost);
    }
    Ok(build.steps)
}

/// The models that a run's inferences name, for its environment.
pub(crate) fn models(steps: &[Step<'_>]) -> Option<String> {
    let inferences = steps.iter().filter(|step| step.kind == Kind::Inference);
    let named = inferences.filter(|step| step.gaps.is_partly(Gaps::ENVIRONMENT));
    let mut models: Vec<&str> = named.filter_map(|step| step.name.as_deref()).collect();
    models.sort_unstable();
    models.dedup();
    (!models.is_empty()).then(|| models.join(", "))
}

fn explicit(step: usize, by: &str) -> Link {
    Link {
        step,
        kind: CauseKind::Parent,
        evidence: Evidence::Explicit { by: by.to_owned() },
    }
}

/// By time, but each span after its parent and after what it links to (Kahn's algorithm with a
/// queue ordered by start).
fn order(
    input: &Input<'_>,
    spans: &[Span<'_>],
    parents: &[Option<usize>],
    linked: &[Vec<usize>],
) -> Result<Vec<usize>, ImportError> {
    let causes = |index: usize| {
        let others = linked[index].iter().copied();
        parents[index]
            .into_iter()
            .chain(others.filter(move |at| parents[index] != Some(*at)))
    };
    let mut open = vec![0_usize; spans.len()];
    let mut followers = vec![Vec::new(); spans.len()];
    let mut ready = BinaryHeap::new();
    for index in 0..spans.len() {
        for cause in causes(index) {
            open[index] += 1;
            followers[cause].push(index);
        }
        if open[index] == 0 {
            ready.push(Reverse((spans[index].nanos, index)));
        }
    }
    let mut order = Vec::with_capacity(spans.len());
    while let Some(Reverse((_, index))) = ready.pop() {
        order.push(index);
        for &follower in &followers[index] {
            open[follower] -= 1;
            if open[follower] == 0 {
                ready.push(Reverse((spans[follower].nanos, follower)));
            }
        }
    }
    let Some(start) = (0..spans.len()).find(|index| open[*index] > 0) else {
        return Ok(order);
    };
    // Every span that is left has a cause that is left: going back meets one twice.
    let mut path: Vec<usize> = Vec::new();
    let mut seen = vec![None; spans.len()];
    let mut at = start;
    while seen[at].is_none() {
        seen[at] = Some(path.len());
        path.push(at);
        at = causes(at)
            .find(|cause| open[*cause] > 0)
            .expect("a span that is left has a cause that is left");
    }
    let cycle = &path[seen[at].unwrap_or(0)..];
    Err(ImportError::Cycle {
        at: input.place(spans[at].raw, &spans[at].position),
        ids: cycle
            .iter()
            .take(8)
            .map(|at| short(&spans[*at].id))
            .collect(),
    })
}

#[derive(Debug)]
struct Build<'a> {
    steps: Vec<Step<'a>>,
    /// Who acts inside each span, and whether the source names it outright.
    acting: Vec<Option<(Cow<'a, str>, bool)>>,
    fallback: Option<Cow<'a, str>>,
    /// The last inference whose output asks for a call id.
    asked_for: HashMap<String, usize>,
    /// The last tool call with an id.
    called: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Build<'a> {
    /// Adds the step of a span and returns who acts inside it.
    fn step(
        &mut self,
        span: &Span<'a>,
        above: Option<(Cow<'a, str>, bool)>,
        parent: Option<usize>,
        links: Vec<Link>,
        lost: bool,
    ) -> Option<(Cow<'a, str>, bool)> {
        let role = span_content::role(span);
        let named = span_content::agent(span, role);
        // One agent below another is a hand-off, if both are named outright.
        let handed = match (&named, &above) {
            (Some(named), Some((above, true))) => role == Role::Agent && named != above,
            _ => false,
        };
        let kind = match role {
            Role::Model => Kind::Inference,
            Role::Tool => Kind::ToolCall,
            Role::Agent if handed => Kind::Message,
            Role::Agent | Role::Other => Kind::Step,
        };
        let acting = match &named {
            Some(named) => Some((named.clone(), true)),
            None => above.clone().or_else(|| {
                let fits = role == Role::Agent && !span.name.is_empty();
                fits.then(|| (span.name.clone(), false))
            }),
        };
        let by = if handed { above } else { acting.clone() };
        let by = by.map(|(name, _)| name).or_else(|| self.fallback.clone());
        let unnamed = named.is_none();
        let by = by.filter(|by| !by.is_empty());
        let agent = by.unwrap_or(Cow::Borrowed("unknown"));
        let mut step = Step::new(span.position.clone(), kind, agent, span.raw);
        if unnamed {
            step.gaps.partly(Gaps::AGENT);
        }
        step.agent_version = span
            .attributes
            .text(&["gen_ai.agent.version"])
            .filter(|_| !handed);
        step.to = span.to.clone().or_else(|| named.filter(|_| handed));
        step.links = links;
        step.parent = parent;
        step.marks.missing_parent = lost;
        step.timed(span.started, span.ended);
        span_content::fill(&mut step, span);
        self.outcome(&mut step, span);
        self.join(&mut step);
        self.steps.push(step);
        acting
    }

    fn outcome(&self, step: &mut Step<'a>, span: &Span<'a>) {
        match &span.status {
            Status::Ok => step.gaps.known(Gaps::OUTCOME),
            Status::Unset => step.gaps.partly(Gaps::OUTCOME),
            Status::Open => {
                step.outcome = Outcome::Unknown;
                step.gaps.unknowable(Gaps::OUTCOME);
                step.marks.orphaned_call = step.kind == Kind::ToolCall;
            }
            Status::Error(message, class) => {
                step.outcome = Outcome::Failed {
                    class: failure(class.as_deref().unwrap_or_default()),
                };
                step.gaps.known(Gaps::OUTCOME);
                let told =
                    step.result.is_some() || (step.kind != Kind::ToolCall && step.chosen.is_some());
                if !told {
                    step.result = message.clone().or_else(|| class.clone()).map(Text::plain);
                }
            }
        }
    }

    /// Links a tool call to the inference whose output carries its id.
    fn join(&mut self, step: &mut Step<'a>) {
        let at = self.steps.len();
        if step.kind == Kind::Inference
            && let Some(chosen) = &step.chosen
        {
            for id in span_content::call_ids(&chosen.text) {
                self.asked_for.insert(id, at);
            }
        }
        let (Kind::ToolCall, Some(id)) = (step.kind, &step.call_id) else {
            return;
        };
        if let Some(&asker) = self.asked_for.get(&**id) {
            step.links.push(Link {
                step: asker,
                kind: CauseKind::Call,
                evidence: Evidence::CallId,
            });
        }
        step.marks.reused_call_id = self.called.insert(id.clone(), at).is_some();
    }
}

/// The class of a failure, from the name of the error's type.
fn failure(class: &str) -> FailureClass {
    let class = class.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| class.contains(word));
    match () {
        () if has(&["timeout", "timedout", "timed out", "deadline"]) => FailureClass::Timeout,
        () if has(&["permission", "denied", "unauthori", "forbidden"]) => FailureClass::Denied,
        () if has(&["unavailable", "connection", "network"]) => FailureClass::Unavailable,
        () if has(&["invalid", "validation", "schema", "valueerror", "argument"]) => {
            FailureClass::Invalid
        }
        () => FailureClass::Error,
    }
}

fn short(id: &str) -> String {
    id.chars().take(80).collect()
}
