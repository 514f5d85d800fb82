//! Agents that went back, more of them than are kept ready.

use std::num::NonZeroUsize;

use engine::live;
use model::RunId;

use crate::replay::{Desk, id, id_of, of, run_of};
use crate::support_mcp::Answer;

const TICKETS: [(&str, &str); 3] = [("ticket-1", "W1"), ("ticket-2", "W2"), ("ticket-3", "W3")];

/// One is kept ready at a time.
async fn desk() -> Desk {
    Desk::recording(live::Options {
        replays_max: NonZeroUsize::MIN,
        ..live::Options::default()
    })
    .await
}

async fn cancel(desk: &Desk, (ticket, order): (&str, &str)) -> Answer {
    let run = [("x-rescind-run", ticket)];
    desk.call_in("cancel", &id(order), &run).await
}

/// Something that opens a run, and the state before everything else.
async fn begun(desk: &Desk, (ticket, order): (&str, &str)) -> RunId {
    let run = [("x-rescind-run", ticket)];
    let run = run_of(&desk.call_in("read", &id(order), &run).await);
    desk.saves(run).await;
    run
}

/// Each agent saves its state, cancels an order and goes back. Returns who cancelled.
async fn went_back(desk: &Desk) -> Vec<String> {
    let mut done = Vec::new();
    for (ticket, order) in TICKETS {
        let run = begun(desk, (ticket, order)).await;
        done.push(id_of(&cancel(desk, (ticket, order)).await));
        desk.goes_back(run, false).await;
    }
    done
}

#[tokio::test]
async fn who_is_not_kept_ready_is_looked_up_and_nothing_runs_twice() {
    let desk = desk().await;
    let done = went_back(&desk).await;
    // A stranger has nothing to find, and is not asked for again and again.
    for _ in 0..2 {
        assert_eq!(of(&cancel(&desk, ("ticket-9", "W9")).await), None);
    }
    for (ticket, first) in TICKETS.into_iter().zip(&done) {
        let again = cancel(&desk, ticket).await;
        assert_eq!(of(&again), Some(&**first), "{ticket:?}");
    }
    let carried_out = ["W1", "W2", "W3", "W9", "W9"].map(|order| format!("cancel {order}"));
    assert_eq!(desk.carried_out(), carried_out);
    // Each is found once, also by the record.
    for ticket in TICKETS {
        assert_eq!(of(&cancel(&desk, ticket).await), None, "{ticket:?}");
    }
}

#[tokio::test]
async fn after_a_restart_the_others_are_looked_up_too() {
    let desk = desk().await;
    let done = went_back(&desk).await;
    let desk = desk.restart().await;
    for (ticket, first) in TICKETS.into_iter().zip(&done) {
        let again = cancel(&desk, ticket).await;
        assert_eq!(of(&again), Some(&**first), "{ticket:?}");
    }
    assert_eq!(desk.carried_out().len(), 3);
}

#[tokio::test]
async fn a_run_that_goes_on_from_a_restore_that_is_not_kept_ready_finds_what_it_left() {
    let desk = desk().await;
    let run = begun(&desk, ("ticket-0", "W5")).await;
    let five = id_of(&cancel(&desk, ("ticket-0", "W5")).await);
    let six = id_of(&cancel(&desk, ("ticket-0", "W6")).await);
    let restored = desk.goes_back(run, false).await;
    went_back(&desk).await;
    let names = [
        ("x-rescind-run", "ticket-00"),
        ("x-rescind-cause", &*restored.decision),
    ];
    let again = desk.call_in("cancel", &id("W5"), &names).await;
    assert_eq!(of(&again), Some(&*five));
    assert_ne!(run_of(&again), run);
    // It names the restore once; others are kept ready since.
    cancel(&desk, TICKETS[0]).await;
    let again = desk.call_in("cancel", &id("W6"), &names[..1]).await;
    assert_eq!(of(&again), Some(&*six));
}
