//! A desk whose calls are judged before they begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::live::{
    Admitted, Call, Caller, Ended, Held, Mode, Open, Options, Recorder, Refused, What,
};
use engine::view::DecisionView;
use engine::{Engine, EngineError, ManualClock, Page, Ruling, SeededEntropy, Store};
use ledger::{Batch, Journal, Place, StoreError};
use model::{ClassSource, DecisionId, EffectClass, Environment, Media, Outcome};
use store::MemoryStore;

pub(crate) const NOW: u64 = 1_790_000_000_000_000;
pub(crate) const SECOND: u64 = 1_000_000;

pub(crate) const ORDER: &str = r#"{"order":"W4482139"}"#;

/// A recorder, its clock and what it records in.
pub(crate) struct Desk {
    pub(crate) recorder: Recorder,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) full: Arc<FullJournal>,
    pub(crate) options: Options,
}

/// A journal that takes nothing while it is full.
#[derive(Debug, Default)]
pub(crate) struct FullJournal(pub(crate) AtomicBool);

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
    pub(crate) async fn enforcing() -> Self {
        Self::with(Options {
            mode: Mode::Enforce,
            ..Options::default()
        })
        .await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        Self::over(Arc::new(MemoryStore::default()), clock, options).await
    }

    pub(crate) async fn over(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        options: Options,
    ) -> Self {
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
    pub(crate) async fn restarted(self) -> Self {
        self.recorder.stop(Duration::from_secs(10)).await.unwrap();
        Self::over(self.store, self.clock, self.options).await
    }

    pub(crate) fn at(&self, seconds: u64) {
        self.clock.set(NOW + seconds * SECOND);
    }

    pub(crate) async fn ask(&self, call: Asked<'_>) -> Admitted {
        self.recorder.admit(call_of(call)).await.unwrap()
    }

    pub(crate) async fn held(&self, call: Asked<'_>) -> Held {
        match self.ask(call).await {
            Admitted::Held(mut held) => {
                held.durable().await.unwrap();
                held
            }
            other => panic!("not held: {other:?}"),
        }
    }

    pub(crate) async fn opened(&self, call: Asked<'_>) -> Open {
        match self.ask(call).await {
            Admitted::Open(mut open) => {
                open.durable().await.unwrap();
                open
            }
            other => panic!("not begun: {other:?}"),
        }
    }

    pub(crate) async fn refused(&self, call: Asked<'_>) -> Refused {
        match self.ask(call).await {
            Admitted::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Asks, is told that it waits, and goes away.
    pub(crate) async fn waits(&self, call: Asked<'_>) -> DecisionId {
        let held = self.held(call).await;
        let decision = held.decision();
        held.leave();
        decision
    }

    pub(crate) async fn approve(&self, decision: DecisionId) -> Result<(), EngineError> {
        let shown = self.shown(decision).await;
        self.rule(decision, |ruling| ruling.shown = shown).await
    }

    pub(crate) async fn rule(
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
    pub(crate) async fn shown(&self, decision: DecisionId) -> model::Digest {
        let listed = self.recorder.engine().approvals().await.unwrap().approvals;
        let one = listed
            .iter()
            .find(|one| one.decision == decision.to_string());
        one.map_or(model::Digest([9; 32]), |one| one.call.parse().unwrap())
    }

    pub(crate) async fn listed(&self) -> Vec<String> {
        let listed = self.recorder.engine().approvals().await.unwrap().approvals;
        listed.into_iter().map(|one| one.status).collect()
    }

    /// A decision, once it stands so in the record: ends that nobody waits for are written by
    /// tasks of their own.
    pub(crate) async fn stands(&self, decision: DecisionId, status: &str) -> DecisionView {
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

    pub(crate) async fn verdicts(&self) -> Vec<String> {
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
pub(crate) struct Asked<'a> {
    pub(crate) agent: &'a str,
    pub(crate) run: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) tool: &'a str,
    pub(crate) arguments: &'a str,
    pub(crate) class: EffectClass,
}

/// A refund that cannot be taken back.
pub(crate) const REFUND: Asked<'static> = Asked {
    agent: "ada",
    run: "ticket-7",
    token: None,
    tool: "refund",
    arguments: ORDER,
    class: EffectClass::Irreversible,
};

/// A look at an order.
pub(crate) const LOOK: Asked<'static> = Asked {
    tool: "get_order",
    class: EffectClass::Read,
    ..REFUND
};

pub(crate) fn call_of(call: Asked<'_>) -> Call<'_> {
    let what = What::ToolCall {
        server: "desk",
        tool: call.tool,
        arguments: call.arguments,
        class: call.class,
        by: ClassSource::Nobody,
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

pub(crate) async fn end(open: Open, outcome: Outcome) {
    let written = open.finish(Ended::with(outcome)).await.unwrap();
    written.durable().await.unwrap();
}

pub(crate) fn names(view: &DecisionView) -> Vec<&str> {
    view.events.iter().map(|mark| mark.what.as_str()).collect()
}
