//! The process ends at every point of a rollback, and another goes on.
//!
//! A point is before or after any append and any call. After each the same end is reached: nothing
//! done twice, nothing lost, and nothing parked that a key, a probe or the record can tell.

use std::fmt;
use std::path::Path;

use store::fault::{FaultDisk, Loss};
use store::{FileJournal, MemoryStore};

use super::recorded::Recorded;
use super::world::{Fuse, Mortal};
use super::*;

/// What came of all points of one kind of tool.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) points: usize,
    pub(super) duplicated: usize,
    pub(super) lost: usize,
    pub(super) parked: usize,
    /// How long the next process took to the end, at most, in microseconds.
    slowest: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.duplicated += other.duplicated;
        self.lost += other.lost;
        self.parked += other.parked;
        self.slowest(other.slowest);
    }

    pub(super) fn slowest(&mut self, took: u64) {
        self.slowest = self.slowest.max(took);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            points,
            duplicated,
            lost,
            parked,
            slowest,
        } = self;
        write!(
            f,
            "{points} points, {duplicated} done twice, {lost} lost, {parked} parked"
        )?;
        match slowest / 1_000 {
            0 => Ok(()),
            ms => write!(f, ", ended at most {ms} ms after a start"),
        }
    }
}

/// How calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    /// Nothing is written down of them.
    Bare,
    /// Each stands in the record before it goes out.
    Recorded,
}

pub(super) const RIGHT: &str = r#"accounts/1 {"refs":{},"sum":0}
orders/1 {"status":"open"}
orders/2 {"note":"late","status":"open"}"#;

pub(super) fn world() -> World {
    World::with(&[
        ("accounts/1", json!({ "sum": 30, "refs": {} })),
        ("orders/1", json!({ "status": "cancelled" })),
        ("orders/2", json!({ "status": "cancelled", "note": "late" })),
        ("refunds/1", json!({ "paid": false })),
    ])
}

/// Every kind of step in one plan: holding, an inverse, fields put back, a kept call again, a
/// removal, word to somebody, release.
pub(super) fn plan_of(ids: &[DecisionId], tells: Tells) -> Plan {
    let [root, paid, first, second, made] = ids else {
        panic!("five decisions")
    };
    let mut draft = Draft::of(*root);
    for id in [paid, first, second] {
        draft.fate(*id, Fate::Undone);
    }
    draft.fate(*made, Fate::Stands(vec!["customer".to_owned()]));
    let held = draft.step(&[], &[], hold(&["orders", "billing"]));
    let inverse = draft.step(&[held], &[*paid], credit("accounts/1", -30, tells));
    let put = put_back("orders/1", "/status", json!("cancelled"), json!("open"));
    let put = draft.step(&[held], &[*first], put);
    let back = Act::PutBack(PutBack {
        resource: record("orders/2"),
        restore: call(
            "restore",
            json!({ "uri": "orders/2", "fields": "{fields}", "version": "{version}" }),
        ),
        fields: fields(&[("/status", json!("open")), ("/note", json!("none"))]),
        expected: fields(&[("/status", json!("cancelled")), ("/note", json!("late"))]),
    });
    let back = draft.step(&[held], &[*second], back);
    let again = Act::Again {
        call: call("note", json!({ "uri": "orders/2", "note": "late" })),
        before: vec![(
            record("orders/2"),
            fields(&[("/status", json!("open")), ("/note", json!("none"))]),
        )],
    };
    let again = draft.step(&[back], &[*second], again);
    let delete = Act::Delete {
        resource: record("refunds/1"),
        call: call(
            "delete",
            json!({ "uri": "refunds/1", "version": "{version}" }),
        ),
        expected: fields(&[("/paid", json!(false))]),
    };
    let delete = draft.step(&[held], &[*second], delete);
    let notify = Act::Notify {
        who: vec!["customer".to_owned()],
        what: "it stands".to_owned(),
    };
    let notify = draft.step(&[delete], &[*made], notify);
    draft.step(
        &[inverse, put, again, notify],
        &[],
        resume(&["orders", "billing"]),
    );
    draft.plan
}

async fn recorded(store: &Arc<dyn Store>, tells: Tells) -> DecisionId {
    let engine = engine_over(Arc::clone(store)).await;
    let recorder = recorder(&engine).await;
    let root = called(&recorder, "intake", EffectClass::Read, &[]).await;
    let mut ids = vec![root];
    for _ in 0..4 {
        let class = EffectClass::Compensable;
        ids.push(called(&recorder, "orders", class, &[root]).await);
    }
    recorder.stop(Duration::from_secs(1)).await.unwrap();
    approved(&engine, &plan_of(&ids, tells)).await
}

/// Runs until the fuse ends the process; returns whether it got to the end before that.
async fn run_until_blown(
    store: &Arc<dyn Store>,
    world: &World,
    fuse: &Arc<Fuse>,
    journal: Option<&FaultDisk>,
) -> bool {
    let store = Arc::new(Mortal {
        store: Arc::clone(store),
        fuse: Arc::clone(fuse),
        unread: std::sync::Mutex::default(),
    });
    let world = world.through(fuse);
    let going_on = async {
        let engine = engine_over(store).await;
        let hands: Arc<dyn Hands> = match journal {
            None => Arc::new(world),
            Some(disk) => {
                let disk = Arc::new(disk.clone());
                let journal = FileJournal::open(disk, Path::new("/journal"), 1 << 30).unwrap();
                let recorder =
                    Recorder::start(engine.clone(), Some(Arc::new(journal)), Options::default());
                Recorded::over(world, recorder.await.unwrap())
            }
        };
        let options = options();
        for rollback in engine.resume_rollbacks(hands, &options).await.unwrap() {
            rollback.unwrap();
        }
    };
    tokio::select! {
        biased;
        () = fuse.blown() => false,
        () = going_on => true,
    }
}

/// Lets one process after another run, each to its point, and one to the end. Returns whether there
/// was no such point.
async fn played(tells: Tells, calls: Calls, points: &[usize], tally: &mut Tally) -> bool {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (id, world) = (recorded(&store, tells).await, world());
    let mut disk = (calls == Calls::Recorded).then(FaultDisk::default);
    let fuses = points.iter().map(|point| Fuse::at(*point));
    let mut ended = false;
    for fuse in fuses {
        ended = run_until_blown(&store, &world, &fuse, disk.as_ref()).await;
        if ended {
            break;
        }
        disk = disk.map(|disk| disk.after_power_loss(Loss::None));
    }
    if !ended {
        assert!(run_until_blown(&store, &world, &Fuse::none(), disk.as_ref()).await);
    }
    judge(&store, &world, id, tally).await;
    ended
}

async fn judge(store: &Arc<dyn Store>, world: &World, id: DecisionId, tally: &mut Tally) {
    let engine = engine_over(Arc::clone(store)).await;
    let view = engine.rollback(id).await.unwrap();
    assert!(is_ended(view.state), "it comes to an end: {}", told(&view));
    let mut done = world.done();
    done.sort_unstable();
    let parked = view
        .steps
        .iter()
        .filter(|step| serde_json::to_value(step.state).unwrap() == json!("parked"));
    let parked = parked.count();
    let all = done.len();
    done.dedup();
    tally.points += 1;
    tally.duplicated += all - done.len();
    tally.parked += parked;
    let whole = words(&world.state()).replace(r#"{"undo":true}"#, "{}") == RIGHT;
    if parked == 0 {
        tally.lost += usize::from(!whole);
        assert_eq!(view.state, State::Succeeded, "{}", told(&view));
        assert!(view.held.is_empty());
    } else {
        // It is said, and everything that does not wait for it is done.
        assert_eq!(view.state, State::Failed);
        let others = done.iter().filter(|done| !done.starts_with("credit"));
        tally.lost += usize::from(others.count() < 4);
    }
}

async fn every_point(tells: Tells, calls: Calls) -> Tally {
    let mut tally = Tally::default();
    for point in 0.. {
        if played(tells, calls, &[point], &mut tally).await {
            println!("{tells:?}, {calls:?}: {tally}");
            return tally;
        }
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn c44_after_a_crash_at_any_point_the_same_end_is_reached() {
    for calls in [Calls::Bare, Calls::Recorded] {
        for tells in [Tells::Key, Tells::Probe] {
            let tally = every_point(tells, calls).await;
            assert!(tally.points > 40, "{tells:?}: {tally:?}");
            let failed = (tally.duplicated, tally.lost, tally.parked);
            assert_eq!(failed, (0, 0, 0), "{tells:?}, {calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c44_what_nothing_can_tell_is_parked_and_never_done_twice() {
    let bare = every_point(Tells::Nothing, Calls::Bare).await;
    assert_eq!((bare.duplicated, bare.lost), (0, 0), "{bare:?}");
    // From the intent to the outcome of one step out of eight.
    assert!(bare.parked > 0 && bare.parked * 4 < bare.points, "{bare:?}");
    // Where calls are written down first, only from the moment that one goes out to its answer.
    let recorded = every_point(Tells::Nothing, Calls::Recorded).await;
    assert_eq!((recorded.duplicated, recorded.lost), (0, 0), "{recorded:?}");
    assert!(
        recorded.parked > 0 && recorded.parked * 10 <= recorded.points,
        "{recorded:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn c44_a_crash_while_going_on_after_a_crash_changes_nothing() {
    for (tells, calls, steps) in [
        (Tells::Probe, Calls::Bare, [7, 5]),
        (Tells::Nothing, Calls::Recorded, [8, 9]),
    ] {
        let mut tally = Tally::default();
        for first in (0..60).step_by(steps[0]) {
            for second in (0..60).step_by(steps[1]) {
                played(tells, calls, &[first, second], &mut tally).await;
            }
        }
        assert_eq!(
            (tally.duplicated, tally.lost),
            (0, 0),
            "{tells:?}, {calls:?}"
        );
        assert!(tells == Tells::Nothing || tally.parked == 0, "{tally:?}");
    }
}

/// A rollback is broken off in step 2, which nothing can tell of. A person says whether it was
/// carried out, and the process that hears it ends at a point. Returns whether it got to the end
/// before that.
async fn said_of_what_was_broken_off(happened: bool, point: usize) -> bool {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (id, mut world) = (recorded(&store, Tells::Nothing).await, world());
    world.slow = true;
    let engine = engine_over(Arc::clone(&store)).await;
    let under_way = async {
        while world.most() == 0 {
            settle().await;
        }
    };
    let plain = options();
    tokio::select! {
        biased;
        _ = engine.carry_out(id, Arc::new(world.clone()), &plain) => panic!("calls take time"),
        () = under_way => {}
    }
    world.slow = false;
    if happened {
        world.write("accounts/1", "sum", json!(0));
    }
    let fuse = Fuse::at(point);
    let mortal = Arc::new(Mortal {
        store: Arc::clone(&store),
        fuse: Arc::clone(&fuse),
        unread: std::sync::Mutex::default(),
    });
    let (through, said) = (
        Arc::new(world.through(&fuse)),
        CarryOptions {
            settled: BTreeMap::from([(2, happened)]),
            ..options()
        },
    );
    let retrying = async {
        let engine = engine_over(mortal).await;
        let retried = engine.retry_rollback(id, "carla", through, &said).await;
        assert_eq!(retried.unwrap().state, State::Succeeded);
    };
    let ended = tokio::select! {
        biased;
        () = fuse.blown() => false,
        () = retrying => true,
    };
    let engine = engine_over(Arc::clone(&store)).await;
    let hands = Arc::new(world.clone());
    for resumed in engine.resume_rollbacks(hands, &plain).await.unwrap() {
        resumed.unwrap();
    }
    let view = engine.rollback(id).await.unwrap();
    assert!(is_ended(view.state), "{}", told(&view));
    let done = world.done();
    let credits = done.iter().filter(|done| done.starts_with("credit"));
    let credits = credits.count();
    assert!(credits <= usize::from(!happened), "done twice at {point}");
    // What was said counts from the moment that it stands in the record.
    if ended || happened && view.approved_by == ["olga", "carla"] {
        assert_eq!(view.state, State::Succeeded, "{point}: {}", told(&view));
        assert_eq!(credits, usize::from(!happened), "{point}");
        assert!(words(&world.state()).contains(r#""sum":0"#));
    }
    ended
}

#[tokio::test(start_paused = true)]
async fn what_a_person_found_out_of_a_step_that_was_broken_off_counts_at_once() {
    for happened in [true, false] {
        let mut points = 0;
        while !said_of_what_was_broken_off(happened, points).await {
            points += 1;
        }
        assert!(points > 40, "{points}");
    }
}
