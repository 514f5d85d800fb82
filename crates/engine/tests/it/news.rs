//! Following the record.

use engine::view::NewsView;
use ledger::StoreError;

use crate::support::{Desk, NOON, REFUND};

/// Events as lines: number, what, and where it leaves its decision.
fn sketch(events: &[NewsView]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
            let (seq, what) = (event.seq, &event.what);
            format!("{seq} {what} {} {}", word(&event.kind), word(&event.status))
        })
        .collect()
}

#[tokio::test]
async fn what_is_appended_is_told_and_can_be_read() {
    let desk = Desk::open().await;
    let mut news = desk.engine.news();
    assert_eq!(news.size(), 0);
    let size = desk.import(REFUND).await.size;
    assert_eq!(news.beyond(0).await, Some(size));
    assert_eq!(news.beyond(size - 1).await, Some(size));

    let events = desk.engine.happened(0, 1_000).await.unwrap();
    assert_eq!(events.len() as u64, size);
    let lines = sketch(&events);
    assert_eq!(lines[0], "0 run-opened - -");
    assert_eq!(lines[3], "3 reconstructed inference succeeded");
    assert_eq!(
        *lines.last().unwrap(),
        format!("{} run-imported - -", size - 1)
    );
    assert!(events.iter().all(|event| event.run == events[0].run));

    let part = desk.engine.happened(3, 2).await.unwrap();
    assert_eq!(sketch(&part), lines[3..5]);
    assert!(desk.engine.happened(size, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_smaller_number_tells_nothing_new() {
    let desk = Desk::open().await;
    let news = desk.engine.news();
    desk.engine.announce(5);
    desk.engine.announce(3);
    assert_eq!(news.size(), 5);
}

#[tokio::test]
async fn news_end_with_the_engine() {
    let desk = Desk::open().await;
    let mut news = desk.engine.news();
    drop(desk);
    assert_eq!(news.beyond(0).await, None);
}

#[tokio::test]
async fn a_refusal_of_the_store_makes_it_unready_until_an_append_goes_through() {
    let desk = Desk::open().await;
    assert!(desk.engine.ready().await.ready);
    let full = StoreError::Full {
        path: "rescind-data".into(),
    };
    desk.engine.refused(&full);
    let unready = desk.engine.ready().await;
    assert!(!unready.ready);
    assert_eq!(
        unready.reasons,
        ["the last append was refused: no space left in `rescind-data`"]
    );
    desk.import(REFUND).await;
    assert!(desk.engine.ready().await.ready);

    // Nobody tries again while a caller stays away, so a refusal does not stand for ever.
    desk.engine.refused(&full);
    desk.clock.set(NOON + 60_000_000);
    assert!(desk.engine.ready().await.ready);

    desk.engine.store().close().await.unwrap();
    let closed = desk.engine.ready().await;
    assert_eq!(closed.reasons, ["the store is closed"]);
}
