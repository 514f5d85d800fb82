//! Checks of what is asked: heads, runs, decisions, events, prefixes, edges, closures.

use std::collections::BTreeMap;

use model::{Body, DecisionId, Digest, Kind, Origin, RunId, Status, Strength, ToolKeys, Touched};

use super::sample::{Maker, batch};
use crate::{Direction, Found, Leaf, Page, Store, StoreError, ToolRow};

const ALL: Page = Page::first(1_000);

async fn settle(store: &dyn Store) {
    let durable = store.status().await.expect("answers").durable;
    store
        .wait_indexed(durable)
        .await
        .expect("the index catches up");
}

pub(super) async fn waits_for_the_index_but_not_for_ever(store: &dyn Store) {
    store.wait_indexed(0).await.expect("nothing to wait for");
    let mut make = Maker::default();
    let leaves: Vec<_> = (0..50).map(|_| make.filler(5)).collect();
    let last = leaves[49].keys().at;
    store.append(batch(leaves)).await.expect("appends");
    store.wait_indexed(50).await.expect("the index catches up");
    let status = store.status().await.expect("answers");
    assert_eq!((status.durable, status.indexed), (50, 50));
    assert_eq!(status.last, Some(last), "the time of the last leaf");
    let beyond = store.wait_indexed(51).await;
    assert!(
        matches!(beyond, Err(StoreError::Unavailable { .. })),
        "a wait for what is not in the log has an end: {beyond:?}"
    );
}

pub(super) async fn knows_the_heads_of_streams(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, subject, decision) = (make.run(), make.subject(), make.decision());
    assert_eq!(store.head(*run.as_bytes()).await.expect("answers"), None);
    let opened = make.open(run, subject);
    let proposed = make.propose(decision, run, "a", &[]);
    let started = make.start(decision);
    store
        .append(batch([opened.clone(), proposed, started.clone()]))
        .await
        .expect("appends");
    settle(store).await;
    let head = async |stream: &[u8; 16]| store.head(*stream).await.expect("answers");
    assert_eq!(head(run.as_bytes()).await, Some(opened.keys().id));
    assert_eq!(head(decision.as_bytes()).await, Some(started.keys().id));
}

pub(super) async fn lists_runs_newest_first(store: &dyn Store) {
    let mut make = Maker::default();
    let runs = [make.run(), make.run(), make.run()];
    let subject = make.subject();
    let imported = {
        let origin = Some(Origin {
            file: Digest([3; 32]),
            format: "openai-chat".to_owned(),
            part: Some("/0".to_owned()),
        });
        let external = Some("theirs".to_owned());
        make.leaf(Body::RunOpened {
            external,
            origin,
            run: runs[1],
            sealed: None,
            subject,
        })
    };
    let opened = make.open(runs[0], subject);
    let at = opened.keys().at;
    store
        .append(batch([opened, imported]))
        .await
        .expect("appends");
    let ids: Vec<_> = (0..3).map(|_| make.decision()).collect();
    let mut leaves = vec![
        make.propose(ids[0], runs[0], "b", &[]),
        make.propose(ids[1], runs[0], "a", &[]),
        make.start(ids[0]),
        make.finish(ids[0]),
        make.reconstruct(ids[2], runs[1], "c"),
    ];
    let unopened = make.decision();
    leaves.push(make.propose(unopened, runs[2], "a", &[]));
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let rows = store.runs(ALL).await.expect("answers");
    let order: Vec<_> = rows.iter().map(|row| row.keys.run).collect();
    assert_eq!(order, [runs[2], runs[1], runs[0]], "newest first");
    let [newest, second, first] = &rows[..] else {
        panic!("there are three runs")
    };
    assert_eq!((first.first, first.at), (0, at), "where and when it began");
    assert_eq!(
        first.agents,
        ["a", "b"],
        "agents in the order of their names"
    );
    let counts = BTreeMap::from([(Status::Proposed, 1), (Status::Succeeded, 1)]);
    assert_eq!(first.decisions, counts, "decisions by status");
    assert!(first.whole, "a run that is no import is whole");
    assert_eq!(second.keys.external.as_deref(), Some("theirs"));
    assert_eq!(
        second.keys.origin.as_ref().map(|o| o.part.as_deref()),
        Some(Some("/0"))
    );
    assert_eq!(second.keys.subject, subject);
    assert!(!second.whole, "its import is not finished");
    assert_eq!(
        newest.first, 7,
        "a run that was never opened begins with its first decision"
    );
    assert_eq!(newest.keys.origin, None);
    let page = store
        .runs(Page { skip: 1, limit: 1 })
        .await
        .expect("answers");
    assert_eq!(page, rows[1..2], "a page");
    assert!(
        store
            .runs(Page { skip: 3, limit: 5 })
            .await
            .expect("answers")
            .is_empty()
    );
    let done = make.leaf(Body::RunImported {
        decisions: 1,
        run: runs[1],
    });
    store.append(batch([done])).await.expect("appends");
    settle(store).await;
    assert!(
        store.runs(ALL).await.expect("answers")[1].whole,
        "now it is"
    );
}

pub(super) async fn lists_named_runs_newest_first(store: &dyn Store) {
    let mut make = Maker::default();
    let runs: Vec<_> = (0..5).map(|_| make.run()).collect();
    let subject = make.subject();
    let imported = Origin {
        file: Digest([4; 32]),
        format: "openai-chat".to_owned(),
        part: None,
    };
    let names = [Some("a"), None, Some("b"), Some("theirs"), Some("a")];
    let leaves = runs.iter().zip(names).map(|(run, name)| {
        make.leaf(Body::RunOpened {
            external: name.map(str::to_owned),
            origin: (name == Some("theirs")).then(|| imported.clone()),
            run: *run,
            sealed: None,
            subject,
        })
    });
    let leaves: Vec<_> = leaves.collect();
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let all = store.named_runs(9).await.expect("answers");
    let named = |name: &str, place: usize| (name.to_owned(), runs[place]);
    let own = [named("a", 4), named("b", 2), named("a", 0)];
    assert_eq!(all, own, "newest first, a name twice, no imported run");
    let newest = store.named_runs(1).await.expect("answers");
    assert_eq!(newest, own[..1], "no more than asked for");
}

pub(super) async fn lists_decisions_in_order(store: &dyn Store) {
    let mut make = Maker::default();
    let runs = [make.run(), make.run()];
    let ids: Vec<_> = (0..6).map(|_| make.decision()).collect();
    for (place, id) in ids.iter().enumerate() {
        let leaf = make.propose(*id, runs[place % 2], &format!("agent {place}"), &[]);
        store.append(batch([leaf])).await.expect("appends");
    }
    store
        .append(batch([make.start(ids[4])]))
        .await
        .expect("appends");
    settle(store).await;
    let all = store.decisions(None, ALL).await.expect("answers");
    let order: Vec<_> = all.iter().map(|row| row.id).collect();
    assert_eq!(order, ids, "all decisions in the order of the log");
    assert_eq!(
        all[4].status,
        Status::Started,
        "where its last event left it"
    );
    assert_eq!(
        (all[3].first, all[3].keys.agent.name.as_str()),
        (3, "agent 3")
    );
    let of_run = store.decisions(Some(runs[1]), ALL).await.expect("answers");
    let order: Vec<_> = of_run.iter().map(|row| row.id).collect();
    assert_eq!(order, [ids[1], ids[3], ids[5]], "those of one run");
    let page = Page { skip: 1, limit: 1 };
    assert_eq!(
        store.decisions(Some(runs[1]), page).await.expect("answers"),
        of_run[1..2]
    );
    assert_eq!(
        store.decisions(None, page).await.expect("answers"),
        all[1..2]
    );
    let unknown = make.decision();
    let rows = store
        .rows(&[ids[5], unknown, ids[0]])
        .await
        .expect("answers");
    assert_eq!(
        rows,
        [all[5].clone(), all[0].clone()],
        "unknown ones are left out"
    );
    let none = store
        .decisions(Some(make.run()), ALL)
        .await
        .expect("answers");
    assert!(none.is_empty(), "a run that is not there has none");
}

pub(super) async fn lists_decisions_of_a_kind(store: &dyn Store) {
    let mut make = Maker::default();
    let runs = [make.run(), make.run(), make.run()];
    let ids: Vec<_> = (0..12).map(|_| make.decision()).collect();
    for (place, id) in ids.iter().enumerate() {
        // Runs take turns by two, so that some of them are interrupted.
        let run = runs[place / 2 % 3];
        let leaf = match place % 2 {
            0 => make.propose(*id, run, "a", &[]),
            _ => make.call(*id, run, "look", &[]),
        };
        store.append(batch([leaf])).await.expect("appends");
    }
    settle(store).await;
    let asked = async |kind, runs: Option<&[RunId]>| {
        let rows = store.decisions_of(kind, runs).await.expect("answers");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let calls = asked(Kind::ToolCall, None).await;
    let every = [ids[1], ids[3], ids[5], ids[7], ids[9], ids[11]];
    assert_eq!(calls, every, "those of a kind in all runs, in order");
    let some = [runs[2], make.run(), runs[0], runs[0]];
    let messages = asked(Kind::Message, Some(&some)).await;
    let order = [ids[0], ids[4], ids[6], ids[10]];
    assert_eq!(
        messages, order,
        "those of some runs, each once, in the order of the log"
    );
    let none = asked(Kind::Checkpoint, Some(&runs)).await;
    assert!(none.is_empty(), "a kind that is not there has none");
    let none = asked(Kind::Message, Some(&[])).await;
    assert!(none.is_empty(), "no run has none");
}

pub(super) async fn finds_events_by_decision_subject_and_name(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, subject, one, two) = (make.run(), make.subject(), make.decision(), make.decision());
    let (sealed, payload) = make.propose_sealed(one, run, subject, b"abc");
    let mut first = batch([sealed, make.propose(two, run, "a", &[]), make.start(one)]);
    first.payloads.push(payload);
    store.append(first).await.expect("appends");
    let rest = [make.start(two), make.finish(one), make.erase(subject)];
    store.append(batch(rest)).await.expect("appends");
    settle(store).await;
    assert_eq!(store.events_of(one).await.expect("answers"), [0, 2, 4]);
    assert_eq!(store.events_of(two).await.expect("answers"), [1, 3]);
    assert!(
        store
            .events_of(make.decision())
            .await
            .expect("answers")
            .is_empty()
    );
    assert_eq!(store.events_about(subject).await.expect("answers"), [0]);
    assert!(
        store
            .events_about(make.subject())
            .await
            .expect("answers")
            .is_empty()
    );
    let named = async |names: &[&str]| store.events_named(names).await.expect("answers");
    assert_eq!(named(&["started"]).await, [2, 3]);
    assert_eq!(
        named(&["erased", "proposed", "started"]).await,
        [0, 1, 2, 3, 5],
        "in order"
    );
    assert_eq!(
        named(&["started", "started"]).await,
        [2, 3],
        "a name twice counts once"
    );
    assert!(named(&["no such name"]).await.is_empty());
    assert!(named(&[]).await.is_empty());
}

pub(super) async fn reads_many_decisions_at_once(store: &dyn Store) {
    let mut make = Maker::default();
    let run = make.run();
    let ids: Vec<DecisionId> = (0..120).map(|_| make.decision()).collect();
    let mut expected: BTreeMap<DecisionId, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    let mut seq = 0;
    // Events of a decision lie apart, and what lies between them is of any length.
    for round in 0..3_usize {
        for (number, id) in ids.iter().enumerate() {
            let leaf = match round {
                0 => make.propose(*id, run, "a", &[]),
                1 => make.start(*id),
                _ if number % 2 == 0 => continue,
                _ => make.finish(*id),
            };
            let mine = expected.entry(*id).or_default();
            mine.push((seq, leaf.bytes().to_vec()));
            let other = make.filler(if number % 20 == 0 { 50_000 } else { number });
            store.append(batch([leaf, other])).await.expect("appends");
            seq += 2;
        }
    }
    settle(store).await;
    // In another order than that of the log, one of them twice, one that is not there.
    let unknown = make.decision();
    let mut asked: Vec<DecisionId> = (0..ids.len()).map(|n| ids[n * 53 % 120]).collect();
    asked.extend([asked[5], unknown]);
    let found = store.leaves_of(&asked).await.expect("answers");
    assert_eq!(found.len(), asked.len(), "an answer for each");
    for (id, leaves) in asked.iter().zip(found) {
        let expected = expected.get(id).cloned().unwrap_or_default();
        assert_eq!(leaves, expected, "all of a decision's leaves, in order");
    }
    assert!(store.leaves_of(&[]).await.expect("answers").is_empty());
}

pub(super) async fn finds_tool_calls_by_what_they_touch(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, one, two, three) = (
        make.run(),
        make.decision(),
        make.decision(),
        make.decision(),
    );
    let other = make.decision();
    let leaves = [
        make.call(one, run, "read", &["orders/1", "orders/1"]),
        make.call(two, run, "read", &["orders/1", "users/2"]),
        make.call(three, run, "make", &[]),
        make.propose(other, run, "a", &[]),
        make.touch(three, &["orders/3"]),
        make.touch(one, &["orders/1"]),
        make.start(other),
    ];
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let touching = async |touched: &[Touched], since| {
        let found = store.touching(touched, since).await;
        found.expect("answers")
    };
    let record = |uri: &str| Touched::Record(uri.to_owned());
    let unsaid = |tool: &str| Touched::Unsaid(tool.to_owned());
    assert_eq!(touching(&[record("orders/1")], 0).await, [one, two]);
    assert_eq!(
        touching(&[record("orders/1")], 2).await,
        [one],
        "it said so again"
    );
    assert_eq!(
        touching(&[record("users/2"), record("orders/3")], 0).await,
        [two, three]
    );
    assert_eq!(touching(&[unsaid("make")], 0).await, [three]);
    assert_eq!(touching(&[unsaid("")], 0).await, [other]);
    assert_eq!(touching(&[unsaid("read"), unsaid("a")], 0).await, []);
    assert_eq!(touching(&[record("make"), record("orders")], 0).await, []);
    assert_eq!(touching(&[], 0).await, []);
}

pub(super) async fn counts_calls_by_tool(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, desk) = (make.run(), Some("desk"));
    let ids: Vec<_> = (0..5).map(|_| make.decision()).collect();
    let leaves = [
        make.call_on(ids[0], run, desk, "refund"),
        make.call_on(ids[1], run, None, "search"),
        make.propose(ids[2], run, "a", &[]),
        make.start(ids[0]),
        make.call_on(ids[3], run, desk, "refund"),
        make.call_on(ids[4], run, desk, "cancel"),
        make.finish(ids[0]),
    ];
    let mut leaves = leaves.into_iter();
    // In two appends, so that counts are added up.
    let begin: Vec<_> = leaves.by_ref().take(4).collect();
    store.append(batch(begin)).await.expect("appends");
    settle(store).await;
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let row = |server, name, calls, first, last| ToolRow {
        keys: ToolKeys::new(server, name),
        calls,
        first,
        last,
    };
    let wanted = [
        row("", "search", 1, 1, 1),
        row("desk", "cancel", 1, 5, 5),
        row("desk", "refund", 2, 0, 4),
    ];
    let tools = store.tools(ALL).await.expect("answers");
    assert_eq!(tools, wanted, "only what begins a call is one");
    let page = store.tools(Page { skip: 1, limit: 1 }).await;
    assert_eq!(page.expect("answers"), wanted[1..2], "a page");
    store.reindex().await.expect("rebuilds");
    assert_eq!(store.tools(ALL).await.expect("answers"), wanted);
}

pub(super) async fn finds_by_prefix(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, subject, decision) = (make.run(), make.subject(), make.decision());
    let leaves = [
        make.open(run, subject),
        make.propose(decision, run, "a", &[]),
    ];
    let event = leaves[1].keys().id;
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let find = async |prefix: &str| store.find(prefix, 10).await.expect("answers");
    assert_eq!(find(&run.to_string()).await, [Found::Run(run)]);
    assert_eq!(
        find(&decision.to_string()).await,
        [Found::Decision(decision)]
    );
    assert_eq!(find(&subject.to_string()).await, [Found::Subject(subject)]);
    assert_eq!(find(&event.to_string()).await, [Found::Event(event, 1)]);
    let common = &run.to_string()[..7];
    let found = find(common).await;
    assert_eq!(
        found.len(),
        5,
        "one run, one decision, one subject, two events: {found:?}"
    );
    assert!(
        found.is_sorted(),
        "runs first, then decisions, subjects, events"
    );
    assert_eq!(find("").await.len(), 5, "no prefix, everything");
    assert_eq!(
        store.find("", 2).await.expect("answers").len(),
        2,
        "at most the limit"
    );
    let odd = &decision.to_string()[..27];
    assert!(
        find(odd).await.contains(&Found::Decision(decision)),
        "an odd number of digits"
    );
    for wrong in ["zz", "0189-", "%", "01890A5D", "'", &"0".repeat(40)] {
        assert!(find(wrong).await.is_empty(), "`{wrong}` begins no id");
    }
}

pub(super) async fn follows_edges_both_ways(store: &dyn Store) {
    let mut make = Maker::default();
    let run = make.run();
    let ids: Vec<_> = (0..4).map(|_| make.decision()).collect();
    let leaves = [
        make.propose(ids[0], run, "a", &[]),
        make.propose(ids[1], run, "a", &[(ids[0], Strength::Certain)]),
        make.propose(
            ids[2],
            run,
            "a",
            &[(ids[0], Strength::Possible), (ids[1], Strength::Certain)],
        ),
        make.propose(ids[3], run, "a", &[]),
        make.link(ids[3], ids[2], Strength::Certain),
    ];
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let edges = async |ids: &[DecisionId], direction| {
        let edges = store.edges(ids, direction).await.expect("answers");
        edges
            .iter()
            .map(|edge| (edge.cause, edge.effect, edge.strength))
            .collect::<Vec<_>>()
    };
    let (certain, possible) = (Strength::Certain, Strength::Possible);
    assert_eq!(
        edges(&[ids[0]], Direction::Effects).await,
        [(ids[0], ids[1], certain), (ids[0], ids[2], possible)]
    );
    assert_eq!(
        edges(&[ids[2]], Direction::Causes).await,
        [(ids[0], ids[2], possible), (ids[1], ids[2], certain)]
    );
    assert_eq!(
        edges(&[ids[3], ids[1], ids[3]], Direction::Causes).await,
        [(ids[0], ids[1], certain), (ids[2], ids[3], certain)],
        "in the order of ids, each once; causes learnt later count"
    );
    assert!(edges(&[ids[0]], Direction::Causes).await.is_empty());
    assert!(edges(&[], Direction::Effects).await.is_empty());
}

pub(super) async fn closes_over_edges(store: &dyn Store) {
    let mut make = Maker::default();
    let run = make.run();
    let ids: Vec<_> = (0..6).map(|_| make.decision()).collect();
    let (certain, possible) = (Strength::Certain, Strength::Possible);
    let leaves = [
        make.propose(ids[0], run, "a", &[]),
        make.propose(ids[1], run, "a", &[(ids[0], certain)]),
        make.propose(ids[2], run, "a", &[(ids[0], possible), (ids[1], certain)]),
        make.propose(ids[3], run, "a", &[(ids[2], possible)]),
        make.propose(ids[4], run, "a", &[(ids[1], certain)]),
        make.propose(ids[5], run, "a", &[]),
        // A cycle, as a wrong import may claim one.
        make.link(ids[0], ids[4], certain),
    ];
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let closure = async |id, direction, least, limit| {
        store
            .closure(id, direction, least, limit)
            .await
            .expect("answers")
    };
    assert_eq!(
        closure(ids[0], Direction::Effects, possible, 100).await,
        [(ids[1], 1), (ids[2], 1), (ids[4], 2), (ids[3], 2)],
        "nearest first, each once, itself left out"
    );
    assert_eq!(
        closure(ids[0], Direction::Effects, certain, 100).await,
        [(ids[1], 1), (ids[2], 2), (ids[4], 2)],
        "only over edges that are strong enough"
    );
    assert_eq!(
        closure(ids[3], Direction::Causes, possible, 100).await,
        [(ids[2], 1), (ids[0], 2), (ids[1], 2), (ids[4], 3)]
    );
    assert_eq!(
        closure(ids[0], Direction::Effects, possible, 2).await.len(),
        2,
        "the limit"
    );
    assert!(
        closure(ids[5], Direction::Effects, possible, 100)
            .await
            .is_empty()
    );
    assert!(
        closure(make.decision(), Direction::Causes, possible, 100)
            .await
            .is_empty()
    );
}

pub(super) async fn answers_the_same_after_reindexing(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    let ids: Vec<_> = (0..20).map(|_| make.decision()).collect();
    let mut leaves = vec![make.open(run, subject)];
    for (place, id) in ids.iter().enumerate() {
        let causes: Vec<_> = place
            .checked_sub(1)
            .map(|p| (ids[p], Strength::Certain))
            .into_iter()
            .collect();
        leaves.push(make.propose(*id, run, if place % 3 == 0 { "a" } else { "b" }, &causes));
        leaves.push(make.start(*id));
    }
    let count = leaves.len() as u64;
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let look = async || {
        (
            store.runs(ALL).await.expect("answers"),
            store.decisions(None, ALL).await.expect("answers"),
            store.events_of(ids[3]).await.expect("answers"),
            store.find("", 100).await.expect("answers"),
            store
                .closure(ids[0], Direction::Effects, Strength::Possible, 100)
                .await
                .expect("answers"),
            store.head(*ids[4].as_bytes()).await.expect("answers"),
        )
    };
    let before = look().await;
    assert_eq!(
        store.reindex().await.expect("rebuilds"),
        count,
        "every leaf is read"
    );
    assert_eq!(
        look().await,
        before,
        "a rebuilt index gives the same answers"
    );
    store
        .append(batch([make.finish(ids[0])]))
        .await
        .expect("the store goes on");
    settle(store).await;
    assert_eq!(
        store.rows(&ids[..1]).await.expect("answers")[0].status,
        Status::Succeeded
    );
}

pub(super) async fn finds_by_end(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, subject, decision) = (make.run(), make.subject(), make.decision());
    let leaves = [
        make.open(run, subject),
        make.propose(decision, run, "a", &[]),
    ];
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let find = async |suffix: &str| store.find_end(suffix, 10).await.expect("answers");
    let ids = [
        (run.to_string(), Found::Run(run)),
        (decision.to_string(), Found::Decision(decision)),
        (subject.to_string(), Found::Subject(subject)),
    ];
    for (id, found) in ids {
        for from in [0, 20, 25, 28] {
            assert!(
                find(&id[from..]).await.contains(&found),
                "`{}` ends `{id}`",
                &id[from..]
            );
        }
    }
    assert_eq!(find("").await.len(), 3, "no suffix, everything but events");
    assert_eq!(
        store.find_end("", 2).await.expect("answers").len(),
        2,
        "at most the limit"
    );
    for wrong in ["zz", "%", "'", &"0".repeat(40)] {
        assert!(find(wrong).await.is_empty(), "`{wrong}` ends no id");
    }
}

pub(super) async fn finds_an_import_again(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, other, subject) = (make.run(), make.run(), make.subject());
    let origin = |part: &str| Origin {
        file: Digest([7; 32]),
        format: "atif".to_owned(),
        part: Some(part.to_owned()),
    };
    let mut open = |run, part| {
        let origin = Some(origin(part));
        make.leaf(Body::RunOpened {
            external: None,
            origin,
            run,
            sealed: None,
            subject,
        })
    };
    let leaves = [open(run, "/0"), open(other, "/1")];
    store.append(batch(leaves)).await.expect("appends");
    settle(store).await;
    let origins = [origin("/2"), origin("/0"), origin("/1")];
    let rows = store.imported(&origins).await.expect("answers");
    let rows: Vec<_> = rows
        .iter()
        .map(|row| row.as_ref().map(|row| (row.keys.run, row.first, row.whole)))
        .collect();
    assert_eq!(rows, [None, Some((run, 0, false)), Some((other, 1, false))]);
    assert_eq!(
        store
            .run(other)
            .await
            .expect("answers")
            .map(|row| row.first),
        Some(1)
    );
    assert_eq!(store.run(make.run()).await.expect("answers"), None);
    let mut done = make.event(Body::RunImported { decisions: 0, run });
    done.prev = store.head(*run.as_bytes()).await.expect("answers");
    let done = Leaf::encode(&done).expect("samples are short");
    store.append(batch([done])).await.expect("appends");
    settle(store).await;
    let rows = store.imported(&origins[1..2]).await.expect("answers");
    let whole = rows[0].as_ref().map(|row| row.whole);
    assert_eq!(whole, Some(true), "its import is finished");
}
