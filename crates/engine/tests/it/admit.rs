//! Calls that are judged before they begin: held, approved, refused, left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::live::{
    Admitted, ApprovalOptions, BreakerOptions, Call, Caller, Ended, GuardOptions, Held, Mode, Open,
    Options, Recorder, Refused, Told, What,
};
use engine::view::DecisionView;
use engine::{Engine, EngineError, ManualClock, Page, Ruling, SeededEntropy, Store};
use ledger::{Batch, Journal, Place, StoreError};
use model::{DecisionId, EffectClass, Environment, FailureClass, Media, Outcome, Timestamp};
use store::MemoryStore;

const NOW: u64 = 1_790_000_000_000_000;
const SECOND: u64 = 1_000_000;

const ORDER: &str = r#"{"order":"W4482139"}"#;

/// A recorder, its clock and what it records in.
struct Desk {
    recorder: Recorder,
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    full: Arc<FullJournal>,
    options: Options,
}

/// A journal that takes nothing while it is full.
#[derive(Debug, Default)]
struct FullJournal(AtomicBool);

impl Journal for FullJournal {
    fn put(&self, _: &Batch) -> Result<Place, StoreError> {
        if self.0.load(Ordering::SeqCst) {
            let path = "journal".into();
            return Err(StoreError::Full { path });
        }
        Ok(Place { file: 0, len: 0 })
    }

    fn done(&self, _: Place) {}

    fn next_left(&self) -> Result<Option<(Place, Batch)>, StoreError> {
        Ok(None)
    }

    fn pending(&self) -> u64 {
        0
    }
}

impl Desk {
    async fn enforcing() -> Self {
        Self::with(Options {
            mode: Mode::Enforce,
            ..Options::default()
        })
        .await
    }

    async fn with(options: Options) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        Self::over(Arc::new(MemoryStore::default()), clock, options).await
    }

    async fn over(store: Arc<dyn Store>, clock: Arc<ManualClock>, options: Options) -> Self {
        // Each start draws other ids, as processes do.
        static STARTS: AtomicU64 = AtomicU64::new(70);
        let entropy = Arc::new(SeededEntropy::new(STARTS.fetch_add(1, Ordering::SeqCst)));
        let engine = Engine::start(Arc::clone(&store), clock.clone(), entropy);
        let engine = engine.await.unwrap();
        let full = Arc::new(FullJournal::default());
        let journal: Arc<dyn Journal> = full.clone();
        let recorder = Recorder::start(engine, Some(journal), options.clone());
        let recorder = recorder.await.unwrap();
        recorder.recalled().await;
        Self {
            recorder,
            clock,
            store,
            full,
            options,
        }
    }

    /// The next process on the same record.
    async fn restarted(self) -> Self {
        self.recorder.stop(Duration::from_secs(10)).await.unwrap();
        Self::over(self.store, self.clock, self.options).await
    }

    fn at(&self, seconds: u64) {
        self.clock.set(NOW + seconds * SECOND);
    }

    async fn ask(&self, call: Asked<'_>) -> Admitted {
        self.recorder.admit(call_of(call)).await.unwrap()
    }

    async fn held(&self, call: Asked<'_>) -> Held {
        match self.ask(call).await {
            Admitted::Held(mut held) => {
                held.durable().await.unwrap();
                held
            }
            other => panic!("not held: {other:?}"),
        }
    }

    async fn opened(&self, call: Asked<'_>) -> Open {
        match self.ask(call).await {
            Admitted::Open(mut open) => {
                open.durable().await.unwrap();
                open
            }
            other => panic!("not begun: {other:?}"),
        }
    }

    async fn refused(&self, call: Asked<'_>) -> Refused {
        match self.ask(call).await {
            Admitted::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Asks, is told that it waits, and goes away.
    async fn waits(&self, call: Asked<'_>) -> DecisionId {
        let held = self.held(call).await;
        let decision = held.decision();
        held.leave();
        decision
    }

    async fn approve(&self, decision: DecisionId) -> Result<(), EngineError> {
        let shown = self.shown(decision).await;
        self.rule(decision, |ruling| ruling.shown = shown).await
    }

    async fn rule(
        &self,
        decision: DecisionId,
        change: impl FnOnce(&mut Ruling),
    ) -> Result<(), EngineError> {
        let mut ruling = Ruling {
            approve: true,
            by: "grace".to_owned(),
            known: true,
            reason: None,
            shown: model::Digest([0; 32]),
        };
        change(&mut ruling);
        self.recorder.rule(decision, ruling).await.map(|_| ())
    }

    /// The digest of the call that waits under this decision.
    async fn shown(&self, decision: DecisionId) -> model::Digest {
        let listed = self.recorder.engine().approvals().await.unwrap().approvals;
        let one = listed
            .iter()
            .find(|one| one.decision == decision.to_string());
        one.map_or(model::Digest([9; 32]), |one| one.call.parse().unwrap())
    }

    async fn listed(&self) -> Vec<String> {
        let listed = self.recorder.engine().approvals().await.unwrap().approvals;
        listed.into_iter().map(|one| one.status).collect()
    }

    /// A decision, once it stands so in the record: ends that nobody waits for are written by
    /// tasks of their own.
    async fn stands(&self, decision: DecisionId, status: &str) -> DecisionView {
        let mut seen = String::new();
        for _ in 0..2_000 {
            self.recorder
                .engine()
                .caught_up(Duration::from_secs(1))
                .await;
            if let Ok(view) = self.recorder.engine().decision(decision).await {
                if view.node.status == status {
                    return view;
                }
                seen = view.node.status;
            }
            tokio::task::yield_now().await;
        }
        panic!("it is {seen}, not {status}");
    }

    async fn verdicts(&self) -> Vec<String> {
        let engine = self.recorder.engine();
        engine.caught_up(Duration::from_secs(1)).await;
        let mut found = Vec::new();
        for run in engine.runs(Page::first(100)).await.unwrap().runs {
            let run = run.id.parse().unwrap();
            for step in engine.steps(run, Page::first(200)).await.unwrap().steps {
                if step.kind == "verdict" {
                    let view = engine.decision(step.id.parse().unwrap()).await.unwrap();
                    let policy = view.policy.unwrap();
                    found.push(format!("{}: {}", step.name.unwrap(), policy.verdict));
                }
            }
        }
        found
    }
}

#[derive(Clone, Copy)]
struct Asked<'a> {
    agent: &'a str,
    run: &'a str,
    token: Option<&'a str>,
    tool: &'a str,
    arguments: &'a str,
    class: EffectClass,
}

/// A refund that cannot be taken back.
const REFUND: Asked<'static> = Asked {
    agent: "ada",
    run: "ticket-7",
    token: None,
    tool: "refund",
    arguments: ORDER,
    class: EffectClass::Irreversible,
};

/// A look at an order.
const LOOK: Asked<'static> = Asked {
    tool: "get_order",
    class: EffectClass::Read,
    ..REFUND
};

fn call_of(call: Asked<'_>) -> Call<'_> {
    let what = What::ToolCall {
        server: "desk",
        tool: call.tool,
        arguments: call.arguments,
        class: call.class,
        call_id: None,
    };
    let caller = Caller {
        agent: Some(call.agent.to_owned()),
        run: Some(call.run.to_owned()),
        token: call.token.map(str::to_owned),
        ..Caller::default()
    };
    let environment = [("mcp.server".to_owned(), "desk".to_owned())];
    Call {
        caller,
        what,
        asked: (Media::Json, call.arguments),
        environment: Environment(environment.into()),
        touches: None,
    }
}

async fn end(open: Open, outcome: Outcome) {
    let written = open.finish(Ended::with(outcome)).await.unwrap();
    written.durable().await.unwrap();
}

fn names(view: &DecisionView) -> Vec<&str> {
    view.events.iter().map(|mark| mark.what.as_str()).collect()
}

#[tokio::test]
async fn c42_what_cannot_be_taken_back_begins_only_after_an_approval() {
    let desk = Desk::enforcing().await;
    let mut held = desk.held(REFUND).await;
    let decision = held.decision();
    let view = desk.stands(decision, "held").await;
    assert_eq!(names(&view), ["proposed", "held"]);
    let policy = view.policy.unwrap();
    assert_eq!((&*policy.id, &*policy.verdict), ("irreversible", "hold"));
    assert_eq!(policy.enforced, "hold");
    desk.approve(decision).await.unwrap();
    assert_eq!(held.told().await, Told::Approved);
    let mut open = held.begin().unwrap();
    open.durable().await.unwrap();
    assert_eq!(open.decision(), decision);
    end(open, Outcome::Succeeded).await;
    let view = desk.stands(decision, "succeeded").await;
    let all = ["proposed", "held", "approved", "started", "finished"];
    assert_eq!(names(&view), all);
    assert_eq!(view.approvals[0].by, "grace");
    assert!(desk.listed().await.is_empty());
    // The next refund needs an approval of its own.
    desk.waits(REFUND).await;
}

#[tokio::test]
async fn c42_only_the_exact_call_finds_its_approval() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.approve(decision).await.unwrap();
    for other in [
        Asked {
            arguments: r#"{"order":"W4482130"}"#,
            ..REFUND
        },
        Asked {
            tool: "refund_all",
            ..REFUND
        },
        Asked {
            agent: "bob",
            ..REFUND
        },
        Asked {
            run: "ticket-8",
            ..REFUND
        },
    ] {
        assert_ne!(desk.waits(other).await, decision);
    }
    let spaced = Asked {
        arguments: r#"{ "order" : "W4482139" }"#,
        ..REFUND
    };
    assert_eq!(desk.opened(spaced).await.decision(), decision);
}

#[tokio::test]
async fn c42_of_two_equal_calls_one_gets_the_approval() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.approve(decision).await.unwrap();
    let (one, other) = tokio::join!(desk.ask(REFUND), desk.ask(REFUND));
    let begun = [&one, &other]
        .into_iter()
        .filter_map(|admitted| match admitted {
            Admitted::Open(open) => Some(open.decision()),
            Admitted::Held(_) | Admitted::Refused(_) => None,
        });
    assert_eq!(begun.collect::<Vec<_>>(), [decision]);
}

#[tokio::test]
async fn c42_calls_that_wait_side_by_side_are_approved_one_by_one() {
    let desk = Desk::enforcing().await;
    let mut one = desk.held(REFUND).await;
    let mut other = desk.held(REFUND).await;
    assert_ne!(one.decision(), other.decision());
    desk.approve(other.decision()).await.unwrap();
    assert_eq!(other.told().await, Told::Approved);
    let still = tokio::time::timeout(Duration::from_millis(1), one.told()).await;
    assert!(still.is_err(), "nobody approved this one");
}

#[tokio::test]
async fn a_call_that_comes_again_takes_up_its_wait() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    let mut held = desk.held(REFUND).await;
    assert_eq!(held.decision(), decision);
    assert_eq!(desk.listed().await, ["held"]);
    desk.approve(decision).await.unwrap();
    assert_eq!(held.told().await, Told::Approved);
}

#[tokio::test]
async fn a_rejection_reaches_the_call_with_its_reason() {
    let desk = Desk::enforcing().await;
    let mut held = desk.held(REFUND).await;
    let shown = held.call();
    let ruled = desk.rule(held.decision(), |ruling| {
        ruling.approve = false;
        ruling.shown = shown;
        ruling.reason = Some("twice the price".to_owned());
    });
    ruled.await.unwrap();
    let told = Told::Rejected {
        by: "grace".to_owned(),
        reason: Some("twice the price".to_owned()),
    };
    assert_eq!(held.told().await, told);
    let view = desk.stands(held.decision(), "rejected").await;
    let comment = view
        .contents
        .iter()
        .find(|content| content.field == "comment");
    assert_eq!(comment.unwrap().text.as_deref(), Some("twice the price"));
    let again = desk.approve(held.decision()).await.unwrap_err();
    assert!(matches!(again, EngineError::NotHeld { .. }), "{again}");
}

#[tokio::test]
async fn who_approves_must_have_seen_the_call_and_not_have_asked_for_it() {
    let desk = Desk::enforcing().await;
    let own = Asked {
        token: Some("build"),
        ..REFUND
    };
    let decision = desk.waits(own).await;
    let unseen = desk.rule(decision, |_| {}).await.unwrap_err();
    assert!(matches!(unseen, EngineError::Shown { .. }), "{unseen}");
    let shown = desk.shown(decision).await;
    for name in ["build", "ada"] {
        let mine = desk.rule(decision, |ruling| {
            ruling.by = name.to_owned();
            ruling.shown = shown;
        });
        let mine = mine.await.unwrap_err();
        assert!(matches!(mine, EngineError::OwnCall { .. }), "{mine}");
    }
    desk.approve(decision).await.unwrap();
}

#[tokio::test]
async fn c49_what_nobody_decides_in_time_is_denied() {
    let desk = Desk::enforcing().await;
    let mut held = desk.held(REFUND).await;
    desk.at(3_600);
    let late = desk.approve(held.decision()).await.unwrap_err();
    assert!(
        matches!(
            late,
            EngineError::Overdue { .. } | EngineError::NotHeld { .. }
        ),
        "{late}"
    );
    let Told::Rejected { by, .. } = held.told().await else {
        panic!("it was not rejected");
    };
    assert_eq!(by, "rule: overdue");
    let view = desk.stands(held.decision(), "rejected").await;
    assert_eq!(names(&view), ["proposed", "held", "rejected"]);
    assert!(desk.listed().await.is_empty());
}

#[tokio::test]
async fn c42_an_approval_that_is_not_used_in_time_is_over() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.at(3_000);
    desk.approve(decision).await.unwrap();
    desk.at(6_000);
    assert_eq!(desk.listed().await, ["approved"]);
    desk.at(6_600);
    assert_ne!(desk.waits(REFUND).await, decision);
    desk.stands(decision, "cancelled").await;
}

#[tokio::test]
async fn who_goes_away_cancels_and_takes_no_approval_along() {
    let desk = Desk::enforcing().await;
    let held = desk.held(REFUND).await;
    let decision = held.decision();
    drop(held);
    desk.stands(decision, "cancelled").await;
    assert!(desk.listed().await.is_empty());
    // It was approved in the moment in which its caller went away.
    let held = desk.held(REFUND).await;
    let decision = held.decision();
    desk.approve(decision).await.unwrap();
    drop(held);
    let after = desk.ask(REFUND).await;
    assert!(matches!(after, Admitted::Held(_)), "{after:?}");
    desk.stands(decision, "cancelled").await;
}

#[tokio::test]
async fn c42_what_waits_and_what_is_approved_is_found_again_after_a_restart() {
    let desk = Desk::enforcing().await;
    let approved = desk.waits(REFUND).await;
    desk.approve(approved).await.unwrap();
    let other = Asked {
        tool: "close_account",
        ..REFUND
    };
    let waiting = desk.held(other).await;
    let pending = waiting.decision();
    let desk = desk.restarted().await;
    drop(waiting);
    assert_eq!(desk.listed().await, ["approved", "held"]);
    assert_eq!(desk.waits(other).await, pending);
    let open = desk.opened(REFUND).await;
    assert_eq!(open.decision(), approved);
    end(open, Outcome::Succeeded).await;
    // What was used up stays used up, also for the next process.
    let desk = desk.restarted().await;
    assert_ne!(desk.waits(REFUND).await, approved);
    desk.approve(pending).await.unwrap();
    assert_eq!(desk.opened(other).await.decision(), pending);
}

#[tokio::test]
async fn c42_an_approval_whose_call_could_not_be_recorded_is_good_for_the_next() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.approve(decision).await.unwrap();
    desk.full.0.store(true, Ordering::SeqCst);
    let what = desk.recorder.admit(call_of(REFUND)).await;
    assert!(what.is_err(), "{what:?}");
    // So is one that reached a call which then could not begin.
    desk.full.0.store(false, Ordering::SeqCst);
    let other = Asked {
        tool: "close_account",
        ..REFUND
    };
    let mut held = desk.held(other).await;
    let waited = held.decision();
    desk.approve(waited).await.unwrap();
    assert_eq!(held.told().await, Told::Approved);
    desk.full.0.store(true, Ordering::SeqCst);
    assert!(held.begin().is_err());
    desk.full.0.store(false, Ordering::SeqCst);
    assert_eq!(desk.opened(REFUND).await.decision(), decision);
    assert_eq!(desk.opened(other).await.decision(), waited);
}

#[tokio::test]
async fn c42_an_approval_given_to_the_files_is_found_at_the_next_start() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    let shown = desk.shown(decision).await;
    desk.recorder.stop(Duration::from_secs(10)).await.unwrap();
    let ruling = Ruling {
        approve: true,
        by: "grace".to_owned(),
        known: false,
        reason: Some("the customer asked twice".to_owned()),
        shown,
    };
    let engine = desk.recorder.engine();
    engine.rule_on_files(decision, ruling).await.unwrap();
    let desk = Desk::over(desk.store, desk.clock, desk.options).await;
    assert_eq!(desk.opened(REFUND).await.decision(), decision);
}

#[tokio::test]
async fn c42_an_approval_does_not_outlive_what_it_stood_on() {
    let desk = Desk::enforcing().await;
    let cause = desk.opened(LOOK).await;
    let (revoked, run) = (cause.decision(), cause.run());
    end(cause, Outcome::Succeeded).await;
    let what = What::ToolCall {
        server: "desk",
        tool: "refund",
        arguments: ORDER,
        class: EffectClass::Irreversible,
        call_id: None,
    };
    let call = Call {
        caller: Caller {
            agent: Some("ada".to_owned()),
            run: Some(run.to_string()),
            causes: vec![revoked],
            ..Caller::default()
        },
        what,
        asked: (Media::Json, ORDER),
        environment: Environment::default(),
        touches: None,
    };
    let Admitted::Held(mut held) = desk.recorder.admit(call).await.unwrap() else {
        panic!("it was not held");
    };
    held.durable().await.unwrap();
    let decision = held.decision();
    held.leave();
    desk.approve(decision).await.unwrap();
    invalidate(&desk, revoked).await;
    assert_ne!(desk.waits(REFUND).await, decision);
    desk.stands(decision, "cancelled").await;
}

/// Appends that a decision is revoked.
async fn invalidate(desk: &Desk, decision: DecisionId) {
    let engine = desk.recorder.engine();
    engine.caught_up(Duration::from_secs(1)).await;
    let at = engine.next_time();
    let event = model::Event {
        at,
        body: model::Body::Invalidated {
            decision,
            incident: None,
            reason: "it was wrong".to_owned(),
        },
        id: model::EventId::new(at.millis(), [42; 10]),
        prev: desk.store.head(*decision.as_bytes()).await.unwrap(),
        v: 1,
    };
    let leaves = vec![ledger::Leaf::encode(&event).unwrap()];
    let batch = Batch {
        leaves,
        payloads: Vec::new(),
    };
    let appended = desk.store.append(batch).await.unwrap();
    desk.store.wait_indexed(appended.seqs[0] + 1).await.unwrap();
}

#[tokio::test]
async fn c42_a_run_that_goes_on_from_elsewhere_takes_no_approval_along() {
    let desk = Desk::enforcing().await;
    let held = desk.held(REFUND).await;
    let (run, waiting) = (held.run(), held.decision());
    let approved = desk
        .waits(Asked {
            tool: "close_account",
            ..REFUND
        })
        .await;
    desk.approve(approved).await.unwrap();
    let elsewhere = desk
        .waits(Asked {
            run: "ticket-8",
            ..REFUND
        })
        .await;
    assert_eq!(desk.recorder.void_approvals(run, "the run was restored"), 2);
    let mut held = held;
    assert!(matches!(held.told().await, Told::Void { .. }));
    for decision in [waiting, approved] {
        desk.stands(decision, "cancelled").await;
    }
    desk.stands(elsewhere, "held").await;
}

#[tokio::test]
async fn observing_holds_nothing_and_marks_everything() {
    let desk = Desk::with(Options::default()).await;
    let unreviewed = Asked {
        class: EffectClass::Unreviewed,
        ..REFUND
    };
    for (call, rule) in [(REFUND, "irreversible"), (unreviewed, "unreviewed")] {
        let open = desk.opened(call).await;
        let decision = open.decision();
        end(open, Outcome::Succeeded).await;
        let policy = desk.stands(decision, "succeeded").await.policy.unwrap();
        assert_eq!((&*policy.id, &*policy.verdict), (rule, "hold"));
        assert_eq!(policy.enforced, "allow");
    }
    let open = desk.opened(LOOK).await;
    let policy = desk
        .stands(open.decision(), "unknown")
        .await
        .policy
        .unwrap();
    assert_eq!((&*policy.id, &*policy.verdict), ("observe", "allow"));
}

#[tokio::test]
async fn the_catalogue_is_asked_before_the_server() {
    let desk = Desk::with(Options {
        mode: Mode::Enforce,
        classify: Some(Arc::new(|server, tool| {
            (server == "desk" && tool == "refund").then_some(EffectClass::Compensable)
        })),
        ..Options::default()
    })
    .await;
    desk.opened(REFUND).await;
    desk.waits(Asked {
        tool: "close_account",
        ..REFUND
    })
    .await;
}

#[tokio::test]
async fn c31_the_same_call_again_and_again_is_stopped_with_the_reason() {
    let desk = Desk::enforcing().await;
    for _ in 0..5 {
        end(desk.opened(LOOK).await, Outcome::Succeeded).await;
    }
    let refused = desk.refused(LOOK).await;
    assert!(
        refused.reason.contains("5 times in a row"),
        "{}",
        refused.reason
    );
    let view = desk.stands(refused.decision, "rejected").await;
    assert_eq!(names(&view), ["proposed", "rejected"]);
    assert_eq!(view.approvals[0].by, "rule: loop");
    let policy = view.policy.unwrap();
    assert_eq!((&*policy.id, &*policy.enforced), ("loop", "deny"));
    // Another process does not begin to count anew.
    let desk = desk.restarted().await;
    desk.refused(LOOK).await;
    let other = Asked {
        arguments: "{}",
        ..LOOK
    };
    end(desk.opened(other).await, Outcome::Succeeded).await;
    end(desk.opened(LOOK).await, Outcome::Succeeded).await;
}

#[tokio::test]
async fn c31_observing_marks_a_loop_and_lets_it_go_on() {
    let desk = Desk::with(Options::default()).await;
    for _ in 0..5 {
        end(desk.opened(LOOK).await, Outcome::Succeeded).await;
    }
    let open = desk.opened(LOOK).await;
    let policy = desk
        .stands(open.decision(), "unknown")
        .await
        .policy
        .unwrap();
    assert_eq!((&*policy.id, &*policy.verdict), ("loop", "deny"));
    assert_eq!(policy.enforced, "allow");
}

fn breaking() -> Options {
    let tools = BreakerOptions {
        failures_max: 2,
        open_for: Duration::from_secs(10),
        ..BreakerOptions::default()
    };
    Options {
        mode: Mode::Enforce,
        guard: GuardOptions {
            tools,
            loop_calls_max: 0,
            ..GuardOptions::default()
        },
        approvals: ApprovalOptions::default(),
        ..Options::default()
    }
}

const DOWN: Outcome = Outcome::Failed {
    class: FailureClass::Unavailable,
};

#[tokio::test]
async fn c22_c23_a_tool_that_fails_is_left_alone_and_probed() {
    let desk = Desk::with(breaking()).await;
    let tripped_by = desk.opened(LOOK).await;
    end(desk.opened(LOOK).await, DOWN).await;
    let cause = tripped_by.decision();
    end(tripped_by, DOWN).await;
    let refused = desk.refused(LOOK).await;
    assert!(
        refused.reason.contains("try again in 10 s"),
        "{}",
        refused.reason
    );
    assert_eq!(
        refused.retry_at,
        Some(Timestamp((NOW + 10 * SECOND) as i64))
    );
    desk.stands(refused.decision, "rejected").await;
    // Another tool of the same server is none of its business.
    end(
        desk.opened(Asked {
            tool: "get_user",
            ..LOOK
        })
        .await,
        Outcome::Succeeded,
    )
    .await;
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    desk.refused(LOOK).await;
    end(probe, Outcome::Succeeded).await;
    end(desk.opened(LOOK).await, Outcome::Succeeded).await;
    let name = "tool:desk/get_order";
    let expected = ["deny", "degrade", "allow"].map(|verdict| format!("{name}: {verdict}"));
    assert_eq!(desk.verdicts().await, expected);
    let effects = desk
        .recorder
        .engine()
        .decision(cause)
        .await
        .unwrap()
        .effects;
    assert!(
        effects.iter().any(|edge| edge.kind == "result"),
        "the verdict names the call that tripped it"
    );
}

#[tokio::test]
async fn c24_a_probe_that_nobody_ends_frees_its_place() {
    let desk = Desk::with(breaking()).await;
    for _ in 0..2 {
        end(desk.opened(LOOK).await, DOWN).await;
    }
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    desk.refused(LOOK).await;
    // However the task ends that carries it, also by a panic, its call is dropped with it.
    let carried = desk.recorder.tasks().spawn(async move {
        let _probe = probe;
        panic!("the task that carries the probe ends");
    });
    assert!(carried.await.is_err());
    let probe = desk.opened(LOOK).await;
    end(probe, Outcome::Cancelled).await;
    desk.opened(LOOK).await;
}

#[tokio::test]
async fn c25_a_call_from_before_the_trip_decides_nothing() {
    let desk = Desk::with(breaking()).await;
    let (late, later) = (desk.opened(LOOK).await, desk.opened(LOOK).await);
    for _ in 0..2 {
        end(
            desk.opened(Asked {
                agent: "bob",
                ..LOOK
            })
            .await,
            DOWN,
        )
        .await;
    }
    end(late, Outcome::Succeeded).await;
    desk.refused(LOOK).await;
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    end(later, DOWN).await;
    end(probe, Outcome::Succeeded).await;
    desk.opened(LOOK).await;
}

#[tokio::test]
async fn c26_mistakes_of_callers_trip_nothing() {
    let desk = Desk::with(breaking()).await;
    for class in [
        FailureClass::Invalid,
        FailureClass::Error,
        FailureClass::Denied,
    ] {
        for _ in 0..3 {
            end(desk.opened(LOOK).await, Outcome::Failed { class }).await;
        }
    }
    desk.opened(LOOK).await;
    assert!(desk.verdicts().await.is_empty());
}

#[tokio::test]
async fn c32_a_tripped_breaker_survives_a_restart() {
    let desk = Desk::with(breaking()).await;
    for _ in 0..2 {
        end(desk.opened(LOOK).await, DOWN).await;
    }
    let desk = desk.restarted().await;
    let refused = desk.refused(LOOK).await;
    assert_eq!(
        refused.retry_at,
        Some(Timestamp((NOW + 10 * SECOND) as i64))
    );
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    end(probe, DOWN).await;
    let desk = desk.restarted().await;
    let refused = desk.refused(LOOK).await;
    let longer = Timestamp((NOW + 30 * SECOND) as i64);
    assert_eq!(
        refused.retry_at,
        Some(longer),
        "twice as long, from second 10 on"
    );
    assert_eq!(desk.verdicts().await.len(), 3);
}

#[tokio::test]
async fn a_verdict_of_a_rule_names_the_policy_as_it_was() {
    let (strict, lax) = (Desk::with(breaking()).await, Desk::enforcing().await);
    let digest = async |desk: &Desk| {
        let open = desk.opened(LOOK).await;
        let policy = desk.stands(open.decision(), "unknown").await.policy;
        policy.unwrap().digest
    };
    assert_ne!(digest(&strict).await, digest(&lax).await);
}
