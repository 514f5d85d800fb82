//! Recording calls while they happen.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::live::{
    Call, Caller, Durability, Ended, InOutage, Open, Options, OwnedCall, OwnedItem, RecordError,
    Recorder, What,
};
use engine::{Engine, ManualClock, Page};
use ledger::{Journal, SeededEntropy, Store};
use lineage::Role;
use model::{ClassSource, EffectClass, Environment, FailureClass, Field, Media, Outcome};
use store::fault::{Fault, FaultDisk, Loss};
use store::{EmbeddedStore, FileJournal, MemoryStore, OpenOptions};

const NOW: u64 = 1_790_000_000_000_000;

async fn over(
    store: Arc<dyn Store>,
    journal: Option<Arc<dyn Journal>>,
    options: Options,
) -> Recorder {
    // Each start draws other ids, as processes do.
    static STARTS: AtomicU64 = AtomicU64::new(7);
    let entropy = Arc::new(SeededEntropy::new(STARTS.fetch_add(1, Ordering::SeqCst)));
    let engine = Engine::start(store, Arc::new(ManualClock::at(NOW)), entropy)
        .await
        .unwrap();
    Recorder::start(engine, journal, options).await.unwrap()
}

async fn in_memory() -> Recorder {
    over(Arc::new(MemoryStore::default()), None, Options::default()).await
}

fn item(role: Role, text: &str) -> OwnedItem {
    OwnedItem {
        role,
        text: text.to_owned(),
        asked: Vec::new(),
        call_id: None,
    }
}

fn agent(name: &str) -> Caller {
    Caller {
        agent: Some(name.to_owned()),
        ..Caller::default()
    }
}

async fn ask(recorder: &Recorder, caller: Caller, items: Vec<OwnedItem>) -> Open {
    let call = Call {
        caller,
        what: What::Inference {
            model: "m-1",
            items,
            sent: None,
        },
        asked: (Media::Json, "{}"),
        environment: Environment::default(),
        touches: None,
    };
    recorder.begin(call).await.unwrap()
}

async fn tool(recorder: &Recorder, caller: Caller, arguments: &str) -> Result<Open, RecordError> {
    let call = Call {
        caller,
        what: What::ToolCall {
            server: "desk",
            tool: "cancel_order",
            arguments,
            class: EffectClass::Unreviewed,
            by: ClassSource::Nobody,
            call_id: None,
        },
        asked: (Media::Json, arguments),
        environment: Environment::default(),
        touches: None,
    };
    recorder.begin(call).await
}

fn said(text: &str) -> Ended {
    Ended {
        output: text.to_owned(),
        kept: vec![(Field::Chosen, Media::Text, text.to_owned())],
        ..Ended::with(Outcome::Succeeded)
    }
}

async fn end(open: Open, ended: Ended) {
    open.finish(ended).await.unwrap().durable().await.unwrap();
}

#[tokio::test]
async fn c2_agents_that_name_nothing_make_one_graph() {
    let recorder = in_memory().await;
    let policy = "Orders that were shipped more than thirty days ago can be cancelled only by a \
                  supervisor, who must name the reason that the customer gave.";
    // The first agent asks a model, which asks for a tool.
    let first = vec![
        item(Role::System, "You take requests."),
        item(Role::User, "Cancel order W4482139, it came too late."),
    ];
    let open = ask(&recorder, Caller::default(), first.clone()).await;
    let (asker, run) = (open.decision(), open.run());
    let call = OwnedCall {
        id: Some("call_1".to_owned()),
        name: "cancel_order".to_owned(),
        arguments: r#"{"order_id":"W4482139"}"#.to_owned(),
    };
    let ended = Ended {
        asked: vec![call.clone()],
        ..said("")
    };
    end(open, ended).await;
    // The tool is called over MCP, which says nothing of the model call.
    let mut open = tool(
        &recorder,
        Caller::default(),
        r#"{ "order_id": "W4482139" }"#,
    )
    .await
    .unwrap();
    open.durable().await.unwrap();
    assert_eq!(open.run(), run, "the run of who asked");
    let called = open.decision();
    end(open, said(&format!("Refused. {policy}"))).await;
    // The agent resends its history, with what the tool said.
    let mut second = first.clone();
    second.push(OwnedItem {
        asked: vec![call],
        ..item(Role::Assistant, "")
    });
    second.push(OwnedItem {
        call_id: Some("call_1".to_owned()),
        ..item(Role::Tool, &format!("Refused. {policy}"))
    });
    let open = ask(&recorder, Caller::default(), second).await;
    assert_eq!(open.run(), run, "the history continues the run");
    let answer = open.decision();
    let letter = format!("To the supervisor: W4482139 waits for you. {policy}");
    end(open, said(&letter)).await;
    // Another agent, another history, the same words.
    let other = vec![
        item(Role::System, "You are the supervisor."),
        item(Role::User, &letter),
    ];
    let open = ask(&recorder, Caller::default(), other).await;
    assert_ne!(open.run(), run);
    let told = open.decision();
    end(open, said("I approve.")).await;

    let engine = recorder.engine();
    for (earlier, later, kind, strength) in [
        (asker, called, "call", "certain"),
        (called, answer, "result", "certain"),
        (answer, told, "message", "certain"),
    ] {
        let why = engine.why(earlier, later).await.unwrap();
        let last = why.chain.last().unwrap();
        assert_eq!(
            (last.edge.kind.as_str(), last.edge.strength.as_str()),
            (kind, strength)
        );
    }
    let blast = engine.blast(asker, 100).await.unwrap();
    assert!(
        blast
            .certain
            .iter()
            .any(|reached| reached.node.id == told.to_string())
    );
    let graph = engine.decision(told).await.unwrap();
    assert!(
        graph.node.agent.starts_with("agent-"),
        "{}",
        graph.node.agent
    );
    assert_eq!(graph.node.known, "observed");
}

#[tokio::test]
async fn a_run_is_what_the_caller_says_before_anything_that_shows() {
    let recorder = in_memory().await;
    let items = || vec![item(Role::User, "Where is my order?")];
    let by = |change: fn(&mut Caller)| {
        let mut caller = agent("ada");
        change(&mut caller);
        caller
    };
    let named = ask(
        &recorder,
        by(|c| c.run = Some("ticket-7".to_owned())),
        items(),
    )
    .await;
    let again = ask(
        &recorder,
        by(|c| c.run = Some("ticket-7".to_owned())),
        items(),
    )
    .await;
    assert_eq!(named.run(), again.run());
    let ours = named.run().to_string();
    let mut caller = agent("bob");
    caller.run = Some(ours);
    assert_eq!(ask(&recorder, caller, items()).await.run(), named.run());
    let traced = ask(&recorder, by(|c| c.trace = Some([9; 16])), items()).await;
    assert_ne!(traced.run(), named.run());
    let context = ask(
        &recorder,
        by(|c| c.context = Some("ctx".to_owned())),
        items(),
    )
    .await;
    assert_ne!(context.run(), traced.run());
    let ended = Ended {
        answer_id: Some("resp_1".to_owned()),
        ..said("In the post.")
    };
    let decision = traced.decision();
    let run = traced.run();
    end(traced, ended).await;
    let continued = ask(
        &recorder,
        by(|c| c.previous = Some("resp_1".to_owned())),
        items(),
    )
    .await;
    assert_eq!(continued.run(), run);
    let later = continued.decision();
    end(continued, said("Still there.")).await;
    assert!(
        recorder
            .engine()
            .why(decision, later)
            .await
            .unwrap()
            .depends
    );
}

#[tokio::test]
async fn however_many_calls_there_are_no_outcome_overtakes_its_intent() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(
        dir.path(),
        Arc::new(SeededEntropy::new(1)),
        Arc::new(|| NOW / 1_000_000),
    );
    let store = Arc::new(EmbeddedStore::open(options).unwrap());
    let recorder = over(store, None, Options::default()).await;
    let mut written = Vec::new();
    // More than a task of the runtime does in one go.
    for _ in 0..1_000 {
        let open = ask(&recorder, agent("ada"), Vec::new()).await;
        written.push(open.finish(said("Yes.")).await.unwrap());
    }
    for written in written {
        written.durable().await.unwrap();
    }
}

#[tokio::test]
async fn c7_a_call_that_nobody_ends_is_unknown() {
    let recorder = in_memory().await;
    let open = ask(&recorder, agent("ada"), Vec::new()).await;
    let decision = open.decision();
    drop(open);
    assert_eq!(recorder.stop(Duration::from_secs(5)).await.unwrap(), 0);
    let view = recorder.engine().decision(decision).await.unwrap();
    assert_eq!(
        (view.node.status.as_str(), view.outcome.as_str()),
        ("unknown", "unknown")
    );
}

#[tokio::test]
async fn what_was_recorded_before_a_question_is_in_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultDisk::default();
    let recorder = on(&disk, directory.path(), quiet()).await;
    for calls in 1..=20 {
        // Nobody waits for these to be durable; they are gathered on their way into the log.
        let open = ask(&recorder, agent("ada"), Vec::new()).await;
        drop(open.finish(said("Done.")).await.unwrap());
        let engine = recorder.engine();
        engine.caught_up(Duration::from_secs(60)).await;
        let runs = engine.runs(Page::first(100)).await.unwrap().runs;
        assert_eq!(runs.len(), calls);
        assert!(
            runs.iter()
                .all(|run| run.statuses == [("succeeded".to_owned(), 1)].into())
        );
    }
}

/// A store and a journal on a disk that fails as planned.
async fn on(disk: &FaultDisk, index: &Path, options: Options) -> Recorder {
    on_two(disk, disk, index, options).await
}

/// The same with the log on one disk and the journal on another.
async fn on_two(data: &FaultDisk, journal: &FaultDisk, index: &Path, options: Options) -> Recorder {
    let mut open = OpenOptions::new(
        "/data",
        Arc::new(SeededEntropy::new(1)),
        Arc::new(|| NOW / 1_000_000),
    );
    open.disk = Arc::new(data.clone());
    open.index = Some(index.join("index.sqlite"));
    let store = EmbeddedStore::open(open).unwrap();
    let journal = FileJournal::open(Arc::new(journal.clone()), Path::new("/journal"), 1 << 20);
    over(Arc::new(store), Some(Arc::new(journal.unwrap())), options).await
}

fn quiet() -> Options {
    Options {
        // Signing is not what these tests are about.
        publish_every: Duration::from_secs(3_600),
        ..Options::default()
    }
}

#[tokio::test]
async fn c7_c63_what_was_let_out_before_a_crash_is_in_the_record_after_it() {
    let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
    let recorder = on(&disk, index.path(), quiet()).await;
    // The next write of the log is the process's last; the journal's came before.
    let ended = ask(&recorder, agent("ada"), Vec::new()).await;
    let whole = ended.decision();
    end(ended, said("done")).await;
    let mut seen = Vec::new();
    for ahead in 0..12 {
        let disk = disk.copied();
        let index = tempfile::tempdir().unwrap();
        let recorder = on(&disk, index.path(), quiet()).await;
        disk.plan(disk.operations() + ahead, Fault::Die);
        let call = tool(&recorder, agent("ada"), "{}").await;
        let (let_out, durable) = match call {
            Ok(mut open) => (Some(open.decision()), open.durable().await.is_ok()),
            Err(_) => (None, false),
        };
        let after = disk.after_power_loss(Loss::None);
        let index = tempfile::tempdir().unwrap();
        let recorder = on(&after, index.path(), quiet()).await;
        recorder.engine().decision(whole).await.unwrap();
        if let Some(decision) = let_out {
            let view = recorder.engine().decision(decision).await.unwrap();
            assert_eq!(view.node.status, "unknown", "{ahead} operations ahead");
            if !durable {
                let gaps = recorder.engine().store().events_named(&["gap"]).await;
                assert!(!gaps.unwrap().is_empty(), "a crash leaves its mark");
            }
        }
        seen.push((let_out.is_some(), durable));
        recorder.stop(Duration::from_secs(5)).await.unwrap();
    }
    assert!(seen.contains(&(false, false)), "{seen:?}");
    assert!(seen.contains(&(true, false)), "{seen:?}");
    assert!(seen.contains(&(true, true)), "{seen:?}");
}

#[tokio::test]
async fn c7_c63_an_outcome_that_is_only_in_the_journal_is_known_after_a_restart() {
    let failed = || Outcome::Failed {
        class: FailureClass::Denied,
    };
    for (outcome, status) in [
        (Some(Outcome::Succeeded), "succeeded"),
        (Some(failed()), "failed"),
        (Some(Outcome::Cancelled), "cancelled"),
        (Some(Outcome::Unknown), "unknown"),
        // Only the intent is in the journal.
        (None, "unknown"),
    ] {
        let (data, journal) = (FaultDisk::default(), FaultDisk::default());
        let started = async |data: &FaultDisk, journal: &FaultDisk| {
            let index = tempfile::tempdir().unwrap();
            (on_two(data, journal, index.path(), quiet()).await, index)
        };
        let (recorder, _index) = started(&data, &journal).await;
        // From here on nothing reaches the log any more.
        data.plan(data.operations(), Fault::Die);
        let open = tool(&recorder, agent("ada"), "{}").await.unwrap();
        let decision = open.decision();
        match outcome {
            Some(outcome) => {
                open.finish(Ended::with(outcome)).await.unwrap();
            }
            None => drop(open),
        }
        let (data, journal) = (
            data.after_power_loss(Loss::None),
            journal.after_power_loss(Loss::None),
        );
        let (recorder, _index) = started(&data, &journal).await;
        let engine = recorder.engine();
        engine.caught_up(Duration::from_secs(5)).await;
        let view = engine.decision(decision).await.unwrap();
        assert_eq!(view.node.status, status);
        recorder.stop(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test]
async fn c11_c53_while_the_disk_is_full_tools_stop_and_models_go_on_and_all_is_counted() {
    let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
    let data = FaultDisk::default();
    let recorder = on_two(&data, &disk, index.path(), quiet()).await;
    end(
        tool(&recorder, agent("ada"), "{}").await.unwrap(),
        said("ok"),
    )
    .await;

    data.fill();
    let mut open = tool(&recorder, agent("ada"), r#"{"n":1}"#).await.unwrap();
    let blocked = open.decision();
    let refused = open.durable().await.unwrap_err();
    assert!(refused.to_string().contains("no space left"), "{refused}");
    drop(open);
    let refused = tool(&recorder, agent("ada"), r#"{"n":2}"#)
        .await
        .unwrap_err();
    assert!(matches!(refused, RecordError::Outage { .. }));
    let model = ask(&recorder, agent("ada"), Vec::new()).await;
    let spooled = model.decision();
    end(model, said("I could not cancel it.")).await;
    let outage = recorder.outage().unwrap();
    assert_eq!((outage.refused, outage.lost), (2, 0));

    data.free_space();
    while recorder.outage().is_some() {
        tokio::task::yield_now().await;
    }
    let mut open = tool(&recorder, agent("ada"), r#"{"n":3}"#).await.unwrap();
    open.durable().await.unwrap();
    let engine = recorder.engine();
    let durable = engine.store().status().await.unwrap().durable;
    engine.store().wait_indexed(durable).await.unwrap();
    let view = engine.decision(spooled).await.unwrap();
    assert_eq!(view.node.status, "succeeded", "it waited in the journal");
    assert_eq!(
        engine.decision(blocked).await.unwrap().node.status,
        "unknown"
    );
    let gaps = engine.store().events_named(&["gap"]).await.unwrap();
    assert_eq!(gaps.len(), 1, "one gap, which counts what was refused");
}

#[tokio::test]
async fn policy_decides_what_goes_on_in_an_outage() {
    let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
    let options = Options {
        tools_in_outage: InOutage::Spool,
        models_in_outage: InOutage::Block,
        durability: Durability::Lagged {
            entries_max: 100,
            age_max: Duration::from_millis(50),
        },
        ..quiet()
    };
    let recorder = on(&disk, index.path(), options).await;
    let open = ask(&recorder, agent("ada"), Vec::new()).await;
    let written = open.finish(said("hello")).await.unwrap();
    written.durable().await.unwrap();
    recorder.stop(Duration::from_secs(5)).await.unwrap();
    assert_eq!(recorder.engine().store().status().await.unwrap().durable, 3);
}

#[tokio::test]
async fn secrets_and_bodies_stay_out_where_the_operator_says_so() {
    let options = Options {
        redact: Some(Arc::new(|text: &str| {
            let found = text.matches("sk-secret").count();
            (
                text.replace("sk-secret", "[redacted]").into(),
                u32::try_from(found).unwrap(),
            )
        })),
        ..Options::default()
    };
    let recorder = over(Arc::new(MemoryStore::default()), None, options).await;
    let open = ask(&recorder, agent("ada"), Vec::new()).await;
    let decision = open.decision();
    end(open, said("the key is sk-secret")).await;
    let view = recorder.engine().decision(decision).await.unwrap();
    let chosen = view.contents.iter().find(|c| c.field == "chosen").unwrap();
    assert_eq!(chosen.text.as_deref(), Some("the key is [redacted]"));

    let options = Options {
        bodies: false,
        ..Options::default()
    };
    let recorder = over(Arc::new(MemoryStore::default()), None, options).await;
    let open = ask(&recorder, agent("ada"), Vec::new()).await;
    let decision = open.decision();
    end(open, said("private")).await;
    let view = recorder.engine().decision(decision).await.unwrap();
    let chosen = view.contents.iter().find(|c| c.field == "chosen").unwrap();
    assert_eq!(chosen.text.as_deref(), Some("[7 bytes, not kept]"));
}

#[tokio::test]
async fn a_conversation_goes_on_over_a_restart() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let chat = |body: &'static str| {
        let request = wire::llm::read_request(wire::llm::Api::Chat, body.as_bytes()).unwrap();
        let environment = wire::llm::snapshot(&request);
        Call {
            caller: Caller::default(),
            what: What::Inference {
                model: "m-1",
                items: request.items.into_iter().map(OwnedItem::from).collect(),
                sent: None,
            },
            asked: (Media::Json, body),
            environment,
            touches: None,
        }
    };
    let recorder = over(Arc::clone(&store), None, Options::default()).await;
    let open = recorder
        .begin(chat(
            r#"{"model":"m-1","messages":[{"role":"user","content":"Cancel W77."}]}"#,
        ))
        .await
        .unwrap();
    let (first, run) = (open.decision(), open.run());
    let answer = r#"{"id":"c1","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_9","type":"function","function":{"name":"cancel_order","arguments":"{\"order_id\":\"W77\"}"}}]}}]}"#;
    let ended = Ended {
        asked: vec![OwnedCall {
            id: Some("call_9".to_owned()),
            name: "cancel_order".to_owned(),
            arguments: r#"{"order_id":"W77"}"#.to_owned(),
        }],
        kept: vec![(Field::Result, Media::Json, answer.to_owned())],
        ..Ended::with(Outcome::Succeeded)
    };
    end(open, ended).await;
    recorder.stop(Duration::from_secs(5)).await.unwrap();

    let recorder = over(Arc::clone(&store), None, Options::default()).await;
    recorder.recalled().await;
    // The tool call that was asked for before, and the history that goes on.
    let called = tool(&recorder, Caller::default(), r#"{"order_id":"W77"}"#)
        .await
        .unwrap();
    assert_eq!(called.run(), run);
    let second = r#"{"model":"m-1","messages":[{"role":"user","content":"Cancel W77."},{"role":"assistant","content":null,"tool_calls":[{"id":"call_9","type":"function","function":{"name":"cancel_order","arguments":"{\"order_id\":\"W77\"}"}}]},{"role":"tool","tool_call_id":"call_9","content":"done"}]}"#;
    let open = recorder.begin(chat(second)).await.unwrap();
    assert_eq!(open.run(), run, "the run that it was");
    let later = open.decision();
    end(open, said("It is cancelled.")).await;
    assert!(recorder.engine().why(first, later).await.unwrap().depends);
}

#[tokio::test]
async fn what_agents_resend_is_kept_once_and_read_whole() {
    let recorder = in_memory().await;
    let history = "This line of the history is sent again with every call. ".repeat(100);
    let body = |turns: usize| {
        let turns: String = (0..turns).map(|n| format!(",\"turn {n}\"")).collect();
        format!("{{\"messages\":[\"{history}\"{turns}],\"model\":\"m-1\"}}")
    };
    let mut decisions = Vec::new();
    for turns in 0..40 {
        let mut caller = agent("ada");
        caller.run = Some("one".to_owned());
        let asked = body(turns);
        let call = Call {
            caller,
            what: What::Inference {
                model: "m-1",
                items: Vec::new(),
                sent: None,
            },
            asked: (Media::Json, &asked),
            environment: Environment::default(),
            touches: None,
        };
        let open = recorder.begin(call).await.unwrap();
        decisions.push(open.decision());
        end(open, said("yes")).await;
    }
    let engine = recorder.engine();
    let mut kept = 0;
    for (turns, decision) in decisions.iter().enumerate() {
        let view = engine.decision(*decision).await.unwrap();
        let asked = view.contents.iter().find(|c| c.field == "asked").unwrap();
        assert_eq!(asked.text.as_deref(), Some(&*body(turns)), "turn {turns}");
        assert_eq!(asked.bytes as usize, body(turns).len());
        assert_eq!(view.node.summary.as_deref(), Some("yes"));
        let index = engine.store().events_of(*decision).await.unwrap()[0];
        let leaf = engine.store().read(index, 1).await.unwrap().remove(0).1;
        let event = ledger::Leaf::decode(&leaf).unwrap();
        kept += event.body.sealed().unwrap().len;
    }
    assert!(
        kept < 3 * body(40).len() as u64,
        "{kept} bytes for 40 calls"
    );
}
