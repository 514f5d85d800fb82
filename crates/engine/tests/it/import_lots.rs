//! Importing more than is built at once: the record does not show on how many cores it was made.

use std::fmt::Write as _;

use ledger::Leaf;
use model::Body;
use wire::import::Format;

use crate::support::{Desk, options};

/// Conversations as JSON Lines, each with so many messages.
fn conversations(lengths: &[usize]) -> String {
    let mut text = String::new();
    for (run, length) in lengths.iter().enumerate() {
        let messages: Vec<String> = (0..*length)
            .map(|at| match at % 2 {
                0 => format!(r#"{{"role":"user","content":"run {run}, please do {at}"}}"#),
                _ => format!(r#"{{"role":"assistant","content":"{at} of run {run} is done"}}"#),
            })
            .collect();
        let _ = writeln!(text, "[{}]", messages.join(","));
    }
    text
}

#[tokio::test]
async fn runs_of_any_length_go_in_whole_and_in_the_order_of_the_file() {
    let mut lengths = vec![30; 120];
    // Too long for one lot, or for one with others, and as long as one; and more runs after them.
    lengths.extend([2_600, 3, 1_500, 1_024, 1_025, 255, 256, 257, 1, 300]);
    lengths.extend([1; 700]);
    let text = conversations(&lengths);
    let desk = Desk::open().await;
    let imported = desk.import(&text).await;
    let total: usize = lengths.iter().sum();
    assert_eq!(imported.decisions, total as u64);
    assert_eq!(imported.runs.len(), lengths.len());

    let leaves = desk.engine.store().read(0, usize::MAX).await.unwrap();
    let mut positions = Vec::new();
    let mut open = None;
    let mut last = None;
    for (_, bytes) in &leaves {
        let event = Leaf::decode(bytes).unwrap();
        match event.body {
            Body::RunOpened { run, .. } => assert_eq!(open.replace(run), None),
            Body::RunImported { run, .. } => assert_eq!(open.take(), Some(run)),
            Body::Reconstructed {
                position, proposal, ..
            } => {
                assert_eq!(open, Some(proposal.run));
                positions.push(position);
                assert!(last < Some(event.at), "{:?} after {last:?}", event.at);
                last = Some(event.at);
            }
            other => panic!("{}", other.name()),
        }
    }
    let runs = wire::import::read(Format::OpenaiChat, text.as_bytes(), &Default::default());
    let steps = runs.unwrap().into_iter().flat_map(|run| run.steps);
    let expected: Vec<String> = steps.map(|step| step.position.to_string()).collect();
    assert_eq!(positions, expected);

    let again = desk.import(&text).await;
    assert_eq!((again.decisions, again.size), (0, imported.size));
    assert!(again.runs.iter().all(|run| run.already));
}

#[test]
fn of_a_large_file_the_same_is_refused_as_of_a_small_one() {
    let good = conversations(&[4; 40]);
    let bad = good.replace(
        r#"{"role":"user","content":"run 30, please do 2"}"#,
        r#"{"content":"nobody says this"}"#,
    );
    let error = engine::decode_import(bad.as_bytes(), options(Format::OpenaiChat)).unwrap_err();
    let text = whole(error);
    assert!(text.contains("line 31"), "{text}");
}

/// An error with what it comes from.
fn whole(error: engine::EngineError) -> String {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
