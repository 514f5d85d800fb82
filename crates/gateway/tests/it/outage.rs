//! What callers hear while nothing can be recorded.

use std::path::Path;
use std::sync::Arc;

use engine::SeededEntropy;
use engine::live::{InOutage, Options};
use store::fault::{Fault, FaultDisk};
use store::{EmbeddedStore, FileJournal, OpenOptions};

use crate::support::{ANSWER, CHAT, Desk, Stub, json, options, piece, streamed};

const CALLS: &str = r#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"cancel_order","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;

/// A desk on a disk that can be filled, with a journal on another.
async fn desk(stub: &Stub, recording: Options) -> (Desk, FaultDisk, tempfile::TempDir) {
    let (data, journal) = (FaultDisk::default(), FaultDisk::default());
    let index = tempfile::tempdir().unwrap();
    let entropy = Arc::new(SeededEntropy::new(11));
    let mut open = OpenOptions::new("/data", entropy, Arc::new(|| 1_790_000_000_000_000));
    open.disk = Arc::new(data.clone());
    open.index = Some(index.path().join("index.sqlite"));
    let store = EmbeddedStore::open(open).unwrap();
    let journal = FileJournal::open(Arc::new(journal), Path::new("/journal"), 1 << 20).unwrap();
    let options = options(&[stub]);
    let desk = Desk::over(Arc::new(store), Some(Arc::new(journal)), recording, options).await;
    (desk, data, index)
}

#[tokio::test]
async fn c11_c53_what_a_model_asks_to_be_done_stops_where_it_cannot_be_recorded_and_words_go_on() {
    let streamed_calls = streamed(&[
        piece(
            r#"{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"cancel_order","arguments":"{}"}}]}"#,
            "null",
        ),
        piece("{}", "\"tool_calls\""),
        "data: [DONE]\n\n".to_owned(),
    ]);
    let scripts = vec![
        json(ANSWER),
        json(ANSWER),
        json(CALLS),
        streamed_calls,
        json(CALLS),
    ];
    let stub = Stub::start(scripts).await;
    let (desk, data, _index) = desk(&stub, Options::default()).await;
    assert_eq!(desk.chat().await.status, 200);
    data.plan(data.operations(), Fault::Full);
    assert_eq!(desk.chat().await.text(), ANSWER, "the journal keeps it");
    let got = desk.chat().await;
    assert_eq!(got.status, 503);
    assert_eq!(got.json()["error"]["code"], "record_unavailable");
    assert!(!got.text().contains("cancel_order"));
    let got = desk.chat_stream().await;
    assert!(got.text().contains("event: error"), "{}", got.text());
    assert!(got.text().contains("cannot be recorded"), "{}", got.text());
    assert!(
        !got.text().contains(r#"_reason":"tool_calls""#),
        "it is not let end"
    );
    assert_eq!(desk.recorder.outage().unwrap().refused, 2);
    data.free_space();
    while desk.recorder.outage().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.chat().await.text(), CALLS, "it goes on by itself");
}

#[tokio::test]
async fn c11_c53_calls_of_models_stop_too_where_policy_says_so() {
    let stub = Stub::start(vec![json(ANSWER)]).await;
    let blocking = Options {
        models_in_outage: InOutage::Block,
        ..Options::default()
    };
    let (desk, data, _index) = desk(&stub, blocking).await;
    data.plan(data.operations(), Fault::Full);
    // The first call finds it out, and the journal has its record; from then on none is made.
    let _ = desk.chat().await;
    while desk.recorder.outage().is_none() {
        tokio::task::yield_now().await;
    }
    let made = stub.count();
    let got = desk.chat().await;
    assert_eq!((got.status.as_u16(), stub.count()), (503, made));
    let error = &got.json()["error"];
    assert_eq!(error["code"], "record_unavailable");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("cannot be recorded")
    );
    assert_eq!(got.header("retry-after"), Some("1"));
    let got = desk.send("/anthropic/v1/messages", CHAT, &[]).await;
    assert_eq!(got.status, 503);
    assert_eq!(got.json()["type"], "error");
    data.free_space();
    while desk.recorder.outage().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.chat().await.status, 200, "it goes on by itself");
}
