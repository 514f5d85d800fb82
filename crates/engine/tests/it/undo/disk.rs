//! The store dies or fails at every operation on its disk, in a call and in a rollback.
//!
//! An operation is a write, a sync, a rename or a removal, in the log, beside it or in the journal.
//! At one of them the process dies, whole or in the middle, or the disk fails, which a store takes
//! nothing more after. Then another process opens what the disk has kept, and goes on. Every end is
//! the right one: nothing done twice, nothing lost, and parked only what nothing can tell.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::Clock as _;
use engine::live::InOutage;
use engine::undo::Service;
use ledger::StoreError;
use store::fault::{Fault, FaultDisk, Loss};
use store::{EmbeddedStore, FileJournal, OpenOptions, worker};

use super::crash::{RIGHT, Tally, plan_of, world};
use super::recorded::Recorded;
use super::world::call;
use super::*;

/// What happens at an operation, and what the disk keeps.
const FAULTS: [(Fault, Loss); 5] = [
    (Fault::Die, Loss::None),
    (Fault::Die, Loss::All),
    (Fault::DieHalfway, Loss::None),
    (Fault::Eio, Loss::All),
    (Fault::Enospc, Loss::None),
];

/// A process over a disk.
struct Process {
    engine: Engine,
    recorder: Recorder,
    store: Arc<dyn Store>,
}

impl Process {
    async fn start(disk: &FaultDisk, index: &Path) -> Result<Self, String> {
        let entropy = Arc::new(SeededEntropy::new(3));
        let mut open = OpenOptions::new("/data", entropy, Arc::new(|| 1_790_000_000));
        open.origin = Some("test.invalid/log".to_owned());
        open.disk = Arc::new(disk.clone());
        open.index = Some(index.join("index.sqlite"));
        let said = |error: &dyn std::error::Error| error.to_string();
        let store = EmbeddedStore::open(open).map_err(|error| said(&error))?;
        let store: Arc<dyn Store> = Arc::new(store);
        let journal = FileJournal::open(Arc::new(disk.clone()), Path::new("/journal"), 1 << 20);
        let journal = Arc::new(journal.map_err(|error| said(&error))?);
        // Each start draws other ids, as processes do.
        static STARTS: AtomicU32 = AtomicU32::new(1);
        let entropy = SeededEntropy::new(u64::from(STARTS.fetch_add(1, Ordering::SeqCst)));
        let clock = Arc::new(ManualClock::at(NOW));
        let engine = Engine::start(Arc::clone(&store), clock, Arc::new(entropy));
        let engine = engine.await.map_err(|error| said(&error))?;
        let options = Options {
            tools_in_outage: InOutage::Block,
            ..Options::default()
        };
        let recorder = Recorder::start(engine.clone(), Some(journal), options);
        let recorder = recorder.await.map_err(|error| said(&error))?;
        Ok(Self {
            engine,
            recorder,
            store,
        })
    }

    async fn stop(self) {
        self.recorder.stop(Duration::from_secs(10)).await.unwrap();
        self.store.close().await.unwrap();
    }
}

/// Each process has a runtime of its own, and everything of it ends with that.
fn process<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

fn quick() -> CarryOptions {
    CarryOptions {
        pause_first: Duration::from_micros(100),
        ..CarryOptions::default()
    }
}

/// A disk with an approved rollback on it, and which.
fn approved_on_disk(tells: Tells) -> (FaultDisk, DecisionId) {
    let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
    let id = process(async {
        let process = Process::start(&disk, index.path()).await.unwrap();
        let recorder = &process.recorder;
        let root = called(recorder, "intake", EffectClass::Read, &[]).await;
        let mut ids = vec![root];
        for _ in 0..4 {
            let class = EffectClass::Compensable;
            ids.push(called(recorder, "orders", class, &[root]).await);
        }
        process.engine.caught_up(Duration::from_secs(10)).await;
        let id = approved(&process.engine, &plan_of(&ids, tells)).await;
        process.stop().await;
        id
    });
    (disk.copied(), id)
}

/// Goes on with the rollback as far as the disk lets it.
async fn go_on(disk: &FaultDisk, index: &Path, world: &World) -> Result<Process, String> {
    let process = Process::start(disk, index).await?;
    let hands = Recorded::over(world.clone(), process.recorder.clone());
    let options = quick();
    let resumed = process.engine.resume_rollbacks(hands, &options).await;
    for rollback in resumed.map_err(|error| error.to_string())? {
        rollback.map_err(|error| error.to_string())?;
    }
    Ok(process)
}

/// A rollback over a disk with one fault. Returns whether it came to that.
fn rollback(
    (base, id): &(FaultDisk, DecisionId),
    operation: u64,
    (fault, loss): (Fault, Loss),
    tally: &mut Tally,
) -> bool {
    let (disk, index) = (base.copied(), tempfile::tempdir().unwrap());
    disk.plan(operation, fault);
    let world = world();
    process(async { go_on(&disk, index.path(), &world).await.map(drop) }).ok();
    let struck = disk.struck();
    let place = format!(
        "operation {operation}, {fault:?}, {loss:?}: {:?}",
        disk.journal().get(usize::try_from(operation).unwrap())
    );
    let disk = disk.after_power_loss(loss);
    let started = engine::SystemClock.wall();
    process(async {
        let process = go_on(&disk, index.path(), &world).await.unwrap();
        let engine = &process.engine;
        let mut view = engine.rollback(*id).await.unwrap();
        assert!(is_ended(view.state), "{place}: {}", told(&view));
        tally.slowest(engine::SystemClock.wall().saturating_sub(started));
        let parked = |view: &RollbackView| {
            let states = view
                .steps
                .iter()
                .map(|step| serde_json::to_value(step.state).unwrap());
            states.filter(|state| state == "parked").count()
        };
        if view.state == State::Failed && parked(&view) == 0 {
            // What failed while the disk did keeps its place, and a person tries it again.
            let hands = Recorded::over(world.clone(), process.recorder.clone());
            let again = engine.retry_rollback(*id, "olga", hands, &quick()).await;
            view = again.unwrap();
        }
        let parked = parked(&view);
        let mut done = world.done();
        done.sort_unstable();
        let all = done.len();
        done.dedup();
        tally.points += 1;
        tally.duplicated += all - done.len();
        tally.parked += parked;
        assert_eq!(all, done.len(), "{place}: {:?}", world.done());
        if parked == 0 {
            assert_eq!(view.state, State::Succeeded, "{place}: {}", told(&view));
            let state = words(&world.state()).replace(r#"{"undo":true}"#, "{}");
            tally.lost += usize::from(state != RIGHT);
        } else {
            let others = done.iter().filter(|done| !done.starts_with("credit"));
            tally.lost += usize::from(others.count() < 4);
        }
        process.stop().await;
    });
    struck
}

/// Every operation, with one of the faults in turn; where `RESCIND_MATRIX` is `all`, with all of them.
#[expect(
    clippy::disallowed_methods,
    reason = "how much is tried is said by the environment"
)]
fn every_operation(
    name: &str,
    tells: Tells,
    play: impl Fn(u64, (Fault, Loss), &mut Tally) -> bool + Sync,
) -> Tally {
    let all = std::env::var("RESCIND_MATRIX").is_ok_and(|how| how == "all");
    let tallies = worker::scatter(2, |part| {
        let mut tally = Tally::default();
        let mut operation = part as u64;
        loop {
            // Each kind of tool begins with another.
            let turn = usize::try_from(operation).unwrap() + tells as usize;
            let faults = FAULTS.iter().cycle().skip(turn % FAULTS.len());
            let mut struck = true;
            for fault in faults.take(if all { FAULTS.len() } else { 1 }) {
                struck &= play(operation, *fault, &mut tally);
            }
            if !struck {
                return tally;
            }
            operation += 2;
        }
    });
    let mut all = Tally::default();
    tallies.iter().for_each(|tally| all.add(tally));
    println!("{name}, {tells:?}: {all}");
    all
}

#[test]
fn c44_a_store_that_dies_at_any_operation_of_a_rollback_changes_nothing() {
    for tells in [Tells::Key, Tells::Probe, Tells::Nothing] {
        let base = approved_on_disk(tells);
        let tally = every_operation("rollback", tells, |operation, fault, tally| {
            rollback(&base, operation, fault, tally)
        });
        assert!(tally.points > 40, "{tally}");
        assert_eq!((tally.duplicated, tally.lost), (0, 0), "{tells:?}: {tally}");
        match tells {
            Tells::Nothing => assert!(tally.parked * 10 <= tally.points, "{tally}"),
            _ => assert_eq!(tally.parked, 0, "{tally}"),
        }
    }
}

#[test]
fn c75_a_rollback_that_met_a_full_disk_goes_on_when_there_is_space() {
    let (base, id) = approved_on_disk(Tells::Key);
    for by_hand in [false, true] {
        let (disk, index) = (base.copied(), tempfile::tempdir().unwrap());
        let world = world();
        process(async {
            let process = Process::start(&disk, index.path()).await.unwrap();
            let engine = &process.engine;
            let hands = || Recorded::over(world.clone(), process.recorder.clone());
            disk.fill();
            let full = engine.carry_out(id, hands(), &quick()).await.unwrap_err();
            let no_space = matches!(full, EngineError::Store(StoreError::Full { .. }));
            assert!(no_space, "{full}");
            let tasks = process.recorder.tasks().clone();
            let service = Service::new(engine.clone(), hands(), Arc::default(), tasks);
            let service = service.with_options(quick());
            if by_hand {
                disk.free_space();
                service.retry(id, "olga", quick()).await.unwrap();
            } else {
                service.resume();
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                assert!(engine.rollback(id).await.unwrap().state.goes_on());
                disk.free_space();
                while engine.rollback(id).await.unwrap().state.goes_on() {
                    tokio::task::yield_now().await;
                }
            }
            let view = engine.rollback(id).await.unwrap();
            assert_eq!(view.state, State::Succeeded, "{}", told(&view));
            let state = words(&world.state()).replace(r#"{"undo":true}"#, "{}");
            assert_eq!(state, RIGHT);
            process.stop().await;
        });
    }
}

/// A call, and what whoever made it heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Its result.
    Result,
    /// That it was not made.
    NotMade,
    /// Nothing: the process is gone.
    Nothing,
}

async fn credited(process: &Process, world: &World, tells: Tells) -> Heard {
    let Act::Inverse { call, .. } = credit("accounts/1", 30, tells) else {
        unreachable!("it is one")
    };
    let mut call = call;
    if tells == Tells::Key {
        call.arguments["key"] = json!("ticket-7/refund");
    }
    let begun = begin(&process.recorder, "billing", EffectClass::Compensable, &[]).await;
    let Ok(open) = begun else {
        return Heard::NotMade;
    };
    let answer = world.look(&call).await.unwrap();
    let ended = Ended {
        kept: vec![(Field::Result, Media::Json, answer.to_string())],
        ..Ended::with(Outcome::Succeeded)
    };
    let Ok(written) = open.finish(ended).await else {
        return Heard::Nothing;
    };
    match written.durable().await {
        Ok(()) => Heard::Result,
        Err(_) => Heard::Nothing,
    }
}

/// What the record says became of the calls.
async fn statuses(engine: &Engine) -> Vec<String> {
    let mut statuses = Vec::new();
    for run in engine.runs(engine::Page::first(10)).await.unwrap().runs {
        let run = run.id.parse().unwrap();
        let steps = engine.steps(run, engine::Page::first(10)).await.unwrap();
        statuses.extend(steps.steps.into_iter().map(|step| step.status));
    }
    statuses
}

/// A call over a disk with one fault, and what its agent does about it after a restart.
fn one_call(
    base: &FaultDisk,
    tells: Tells,
    operation: u64,
    (fault, loss): (Fault, Loss),
    tally: &mut Tally,
) -> bool {
    let (disk, index) = (base.copied(), tempfile::tempdir().unwrap());
    disk.plan(operation, fault);
    let world = World::with(&[("accounts/1", json!({ "sum": 0, "refs": {} }))]);
    let heard = process(async {
        match Process::start(&disk, index.path()).await {
            Ok(process) => credited(&process, &world, tells).await,
            Err(_) => Heard::NotMade,
        }
    });
    let struck = disk.struck();
    let died = matches!(fault, Fault::Die | Fault::DieHalfway) && struck;
    // Who calls a process that dies hears nothing of it.
    let heard = if died { Heard::Nothing } else { heard };
    let disk = disk.after_power_loss(loss);
    let started = engine::SystemClock.wall();
    process(async {
        let process = Process::start(&disk, index.path()).await.unwrap();
        process.engine.caught_up(Duration::from_secs(10)).await;
        let known = statuses(&process.engine).await;
        tally.slowest(engine::SystemClock.wall().saturating_sub(started));
        let probe = call("read", json!({ "uri": "accounts/1" }));
        let again = match (heard, tells) {
            (Heard::Result, _) => false,
            (Heard::NotMade, _) | (Heard::Nothing, Tells::Key) => true,
            (Heard::Nothing, Tells::Probe) => {
                let now = world.look(&probe).await.unwrap();
                now["refs"]["undo"] != json!(true)
            }
            (Heard::Nothing, Tells::Nothing) => known.is_empty(),
        };
        let parked = !again && known.iter().any(|status| status == "unknown");
        let parked = parked && (heard, tells) == (Heard::Nothing, Tells::Nothing);
        if again {
            assert_eq!(credited(&process, &world, tells).await, Heard::Result);
        }
        let done = world.done().len();
        tally.points += 1;
        tally.parked += usize::from(parked);
        tally.duplicated += done.saturating_sub(1);
        tally.lost += usize::from(done == 0 && !parked);
        let place = format!("operation {operation}, {fault:?}, {loss:?}");
        assert!(
            done <= known.len() + usize::from(again),
            "{place}: {known:?}"
        );
        process.stop().await;
    });
    struck
}

#[test]
fn c73_a_store_that_dies_at_any_operation_of_a_call_loses_and_repeats_nothing() {
    let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
    process(async {
        let process = Process::start(&disk, index.path()).await.unwrap();
        process.stop().await;
    });
    for tells in [Tells::Key, Tells::Probe, Tells::Nothing] {
        let base = disk.copied();
        let tally = every_operation("call", tells, |operation, fault, tally| {
            one_call(&base, tells, operation, fault, tally)
        });
        assert!(tally.points > 20, "{tally}");
        assert_eq!((tally.duplicated, tally.lost), (0, 0), "{tells:?}: {tally}");
        assert!(tells == Tells::Nothing || tally.parked == 0, "{tally}");
    }
}
