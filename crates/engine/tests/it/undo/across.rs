//! Across agents and across worlds: what they did to files, rows and resources over HTTP is recorded
//! while they do it, one decision turns out to be bad, and the engine carries its plan out there.
//!
//! Systems are those that the planner is tried on in memory. What the plan takes back comes from
//! the record; the worlds must then be what a brute-force replay of all other calls gives. Beside
//! it stand what two other ways come to: each agent's effects taken back in reverse order, and the
//! worlds as they were before the bad decision.

use std::collections::{BTreeMap, BTreeSet};

use engine::NewCheckpoint;
use engine::live::Touches;
use engine::undo::Request;
use model::{Resource, RunId};
use recover::Images;
use recover::plan::Rule;
use store::MemoryStore;

use super::media::{Media, hands};
use super::*;
use crate::systems::{Draw, System, judge, some_bad};
use crate::world::catalogue;

/// Decisions, and how many systems of that size are tried.
const SIZES: [(usize, u64); 3] = [(100, 16), (1_000, 4), (10_000, 1)];

/// What came of one system.
struct Came {
    taken_back: usize,
    steps: usize,
    again: usize,
    exact: bool,
    saga: bool,
    checkpoint: bool,
    /// Planned and carried out, in microseconds.
    took: [u64; 2],
}

/// The record of a system, and which decision there is which one here.
struct Recording {
    engine: Engine,
    there: BTreeMap<DecisionId, DecisionId>,
}

impl Recording {
    /// Lets the agents of a system act on the worlds, call by call, through the recorder.
    async fn of(system: &System, media: &Media) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let engine = engine_over(store).await;
        let recorder = recorder(&engine).await;
        let catalogue = catalogue();
        let calls: BTreeMap<DecisionId, &recover::Call> = system
            .calls
            .iter()
            .map(|call| (call.decision, call))
            .collect();
        let mut causes: BTreeMap<DecisionId, Vec<DecisionId>> = BTreeMap::new();
        for edge in &system.edges {
            causes.entry(edge.effect).or_default().push(edge.cause);
        }
        let (mut there, mut runs) = (BTreeMap::new(), BTreeMap::new());
        for (number, by) in system.by.iter().enumerate() {
            let here = crate::world::id(number + 1);
            let agent = system.agents[*by].as_str();
            let causes = causes.remove(&here).unwrap_or_default();
            let causes: Vec<DecisionId> = causes.iter().map(|cause| there[cause]).collect();
            if system.remembers.contains_key(&here)
                && let Some(run) = runs.get(agent)
            {
                let saved = save(&engine, *run, agent, &causes).await;
                there.insert(here, saved);
                continue;
            }
            let call = calls.get(&here).copied();
            let (open, ended) = act(&recorder, &catalogue, agent, &causes, call, media).await;
            runs.insert(agent, open.run());
            there.insert(here, open.decision());
            open.finish(ended).await.unwrap();
        }
        engine.caught_up(Duration::from_secs(60)).await;
        Self { engine, there }
    }
}

async fn save(engine: &Engine, run: RunId, agent: &str, causes: &[DecisionId]) -> DecisionId {
    let new = NewCheckpoint {
        agent: agent.to_owned(),
        state: json!({}),
        keep: Vec::new(),
        external: BTreeMap::new(),
        causes: causes.to_vec(),
    };
    let saved = engine.checkpoint(run, &new).await.unwrap();
    saved.id.parse().unwrap()
}

/// One decision: a call, with images as the gateway takes them, or something that is said.
async fn act(
    recorder: &Recorder,
    catalogue: &recover::Catalogue,
    agent: &str,
    causes: &[DecisionId],
    call: Option<&recover::Call>,
    media: &Media,
) -> (Open, Ended) {
    let caller = Caller {
        agent: Some(agent.to_owned()),
        run: Some(agent.to_owned()),
        causes: causes.to_vec(),
        ..Caller::default()
    };
    let Some(call) = call else {
        let said = Call {
            caller,
            what: What::Message {
                to: "all",
                text: "",
            },
            asked: (model::Media::Json, "{}"),
            environment: Environment::default(),
            touches: None,
        };
        let open = recorder.begin(said).await.unwrap();
        return (open, Ended::with(Outcome::Succeeded));
    };
    let (tool, args) = (call.tool.as_str(), &call.arguments);
    let text = args.to_string();
    let mut environment = Environment::default();
    let server = ("mcp.server".to_owned(), "world".to_owned());
    environment.0.extend([server]);
    let mut reads = catalogue.images("world", tool, args);
    while let Some(record) = reads.ask() {
        let image = media.call("read", &record.read.arguments).unwrap();
        reads.give(Some(image).filter(|image| !image.is_null()));
    }
    let before: Images = reads.finish();
    let print = catalogue.footprint("world", tool, args, None, &before);
    let touches = Touches {
        server: "world".to_owned(),
        tool: tool.to_owned(),
        arguments: args.clone(),
        reads: print.reads(),
        writes: print.writes(),
        identity: print.arguments,
        before: before.clone(),
    };
    let (class, by) = catalogue.class("world", tool, None);
    let begun = recorder.begin(Call {
        caller,
        what: What::ToolCall {
            server: "world",
            tool,
            arguments: &text,
            class,
            by,
            call_id: None,
        },
        asked: (model::Media::Json, &text),
        environment,
        touches: Some(touches),
    });
    let mut open = begun.await.unwrap();
    let answer = media.call(tool, args);
    assert_eq!(
        answer.as_ref().ok(),
        call.result.as_ref(),
        "the worlds are the same"
    );
    let print = catalogue.footprint("world", tool, args, answer.as_ref().ok(), &before);
    let writes = print.writes();
    let image = |written: &Resource| {
        let read = media.call("read", &json!({ "uri": written.uri })).unwrap();
        (
            written.uri.clone(),
            Some(read).filter(|read| !read.is_null()),
        )
    };
    let after: Images = writes.iter().map(image).collect();
    let mut ended = Ended::with(call.outcome.clone());
    let result = answer.unwrap_or_else(Value::String);
    let said = (Field::Result, model::Media::Json, result.to_string());
    ended.kept.push(said);
    open.touched((print.reads(), writes), result, after, &mut ended);
    (open, ended)
}

/// Lets a system run, rolls one decision of it back and compares the worlds.
async fn rolled_back(seed: u64, agents: usize, decisions: usize) -> Option<Came> {
    let place = format!("seed {seed}, {agents} agents, {decisions} decisions");
    let system = System::run(seed, agents, decisions);
    // Of some bad decisions the one that most followed from.
    let some = (0..16).filter_map(|nth| some_bad(&system, seed + nth * 1_000));
    let bad = some.max_by_key(|bad| system.facts(*bad).members.len())?;
    let media = Arc::new(Media::of(&system.begin));
    let recording = Recording::of(&system, &media).await;
    assert_eq!(media.all(), system.world, "{place}");
    let (engine, there) = (&recording.engine, &recording.there);
    let here: BTreeMap<DecisionId, DecisionId> =
        there.iter().map(|(here, there)| (*there, *here)).collect();
    let clock = engine::SystemClock;
    let begun = engine::Clock::wall(&clock);
    let mut request = Request {
        roots: vec![there[&bad]],
        reason: "generated".to_owned(),
        ..Request::default()
    };
    let catalogue = catalogue();
    let plan = loop {
        let plan = engine.plan_rollback(&request, &catalogue, Some(&*media));
        let plan = plan.await.unwrap();
        // What others wrote since and no rule settles, a person does.
        let open = plan
            .conflicts
            .iter()
            .filter(|conflict| conflict.settled.is_none());
        let rules: Vec<String> = open.map(|conflict| conflict.uri.clone()).collect();
        if rules.is_empty() {
            break plan;
        }
        request
            .rules
            .extend(rules.into_iter().map(|uri| (uri, Rule::KeepNewer)));
    };
    let planned = engine::Clock::wall(&clock);
    let id = approved(engine, &plan).await;
    let view = engine
        .carry_out(id, hands(&media), &options())
        .await
        .unwrap();
    let carried = engine::Clock::wall(&clock);
    assert_eq!(
        view.state,
        State::Succeeded,
        "{place}: {}\n{plan}",
        told(&view)
    );
    let back = plan
        .affected
        .iter()
        .filter(|affected| !matches!(affected.fate, Fate::Kept(_)));
    let gone: BTreeSet<DecisionId> = back.map(|affected| here[&affected.decision]).collect();
    let (never, _) = system.never(&gone);
    // Nothing that followed by the graph alone is missing; and a state that is given back holds
    // nothing that is taken back.
    for member in system.facts(bad).members {
        assert!(
            gone.contains(&member.decision),
            "{place}: {}",
            member.decision
        );
    }
    for step in &plan.steps {
        if let Act::Restore {
            checkpoint: Some(saved),
            agent,
        } = &step.act
        {
            let remembers = &system.remembers[&here[saved]];
            assert!(
                remembers.is_disjoint(&gone),
                "{place}: the state of {agent}"
            );
        }
    }
    let judged = judge(&system, bad, seed);
    let in_memory = judged.exact && judged.announced && judged.line && judged.refused.is_empty();
    assert!(in_memory, "{place}: {}", system.story(&judged));
    let again = plan
        .steps
        .iter()
        .filter(|step| matches!(step.act, Act::Again { .. }));
    Some(Came {
        taken_back: gone.len(),
        steps: plan.steps.len(),
        again: again.count(),
        exact: media.all() == never,
        saga: judged.saga,
        checkpoint: judged.checkpoint,
        took: [planned - begun, carried - planned],
    })
}

/// Tries systems of one size, and prints what came of them.
async fn report(decisions: usize, seeds: impl Iterator<Item = u64>) {
    let mut all: Vec<Came> = Vec::new();
    for seed in seeds {
        let agents = 2 + Draw::new(seed + 7).below(49);
        all.extend(rolled_back(seed, agents, decisions).await);
    }
    let count = |of: fn(&Came) -> bool| all.iter().filter(|came| of(came)).count();
    let sum = |of: fn(&Came) -> usize| all.iter().map(of).sum::<usize>();
    let most = |at: usize| {
        all.iter()
            .map(|came| came.took[at])
            .max()
            .unwrap_or_default()
            / 1_000
    };
    let exact = count(|came| came.exact);
    println!(
        "{decisions} decisions: {exact} of {} as the replay, {} by sagas, {} by a checkpoint; {} \
         taken back in {} steps, {} kept calls again; at most {} ms to plan, {} to carry out",
        all.len(),
        count(|came| came.saga),
        count(|came| came.checkpoint),
        sum(|came| came.taken_back),
        sum(|came| came.steps),
        sum(|came| came.again),
        most(0),
        most(1),
    );
    assert_eq!(exact, all.len());
}

#[tokio::test]
async fn c34_c37_files_rows_and_resources_are_as_if_it_had_not_been() {
    for (decisions, count) in SIZES {
        report(decisions, 0..count).await;
    }
}

/// More of them, where `RESCIND_SYSTEMS` says how many of each size.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "how much is tried is said by the environment"
)]
async fn c34_c37_more_files_rows_and_resources_too() {
    let count = std::env::var("RESCIND_SYSTEMS").ok();
    let Some(count) = count.and_then(|count| count.parse::<u64>().ok()) else {
        println!("RESCIND_SYSTEMS says how many more systems to try: passing over");
        return;
    };
    for decisions in [100, 1_000, 10_000] {
        report(decisions, 100..100 + count).await;
    }
}
