//! What callers hear while nothing can be recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use engine::live::{InOutage, Options, Recorder};
use engine::{Journal, SeededEntropy, Store};
use gateway::{Endpoint, McpServer, Timeouts};
use store::fault::FaultDisk;
use store::{EmbeddedStore, FileJournal, OpenOptions};
use tokio::sync::Notify;

use crate::logged::Logged;
use crate::support::{ANSWER, CHAT, Desk, Stub, json, options, piece, streamed};
use crate::support_mcp::{self as mcp, World};

const CALLS: &str = r#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"cancel_order","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;

/// A store on a disk that can be filled, and a journal on another.
struct Disks {
    store: Arc<dyn Store>,
    journal: Option<Arc<dyn Journal>>,
    data: FaultDisk,
    _index: tempfile::TempDir,
}

impl Disks {
    fn open() -> Self {
        let (data, journal) = (FaultDisk::default(), FaultDisk::default());
        let index = tempfile::tempdir().unwrap();
        let entropy = Arc::new(SeededEntropy::new(11));
        let mut open = OpenOptions::new("/data", entropy, Arc::new(|| 1_790_000_000_000_000));
        open.disk = Arc::new(data.clone());
        open.index = Some(index.path().join("index.sqlite"));
        let store = EmbeddedStore::open(open).unwrap();
        let journal = FileJournal::open(Arc::new(journal), Path::new("/journal"), 1 << 20);
        Self {
            store: Arc::new(store),
            journal: Some(Arc::new(journal.unwrap())),
            data,
            _index: index,
        }
    }

    async fn world(
        &self,
        servers: BTreeMap<String, McpServer>,
        agents: BTreeMap<String, Endpoint>,
    ) -> World {
        let kept = (Arc::clone(&self.store), self.journal.clone());
        World::over(
            servers,
            agents,
            Timeouts::default(),
            kept,
            Options::default(),
        )
        .await
    }

    fn fill(&self) {
        self.data.fill();
    }
}

async fn is_over(recorder: &Recorder) {
    while recorder.outage().is_some() {
        tokio::task::yield_now().await;
    }
}

/// A desk on such disks.
async fn desk(stub: &Stub, recording: Options) -> (Desk, FaultDisk, Disks) {
    let disks = Disks::open();
    let (store, journal) = (Arc::clone(&disks.store), disks.journal.clone());
    let desk = Desk::over(store, journal, recording, options(&[stub])).await;
    (desk, disks.data.clone(), disks)
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
    data.fill();
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
    is_over(&desk.recorder).await;
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
    data.fill();
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
    is_over(&desk.recorder).await;
    assert_eq!(desk.chat().await.status, 200, "it goes on by itself");
}

const TOOL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"cancel_order","arguments":{}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;
const DONE: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Cancelled."}]}}"#;
const SEND: &str = r#"{"jsonrpc":"2.0","id":7,"method":"message/send","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"Cancel it."}]}}}"#;
const GET: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tasks/get","params":{"id":"t-1"}}"#;
const TASK: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"kind":"task","id":"t-1","contextId":"c-1","status":{"state":"completed"}}}"#;

/// A gateway on such disks, in front of an MCP server and an agent that are one stub.
async fn fronts(disks: &Disks) -> (mcp::Stub, World) {
    let stub = mcp::Stub::start(|seen| match &*seen.body {
        "" => mcp::json("").status(404),
        body if body.contains("message") || body.contains("tasks/get") => mcp::json(TASK),
        _ => mcp::json(DONE),
    })
    .await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let servers = BTreeMap::from([("desk".to_owned(), server)]);
    let agents = BTreeMap::from([("bob".to_owned(), stub.endpoint("/bob"))]);
    let world = disks.world(servers, agents).await;
    (stub, world)
}

#[tokio::test]
async fn c11_c53_tools_and_messages_stop_where_they_cannot_be_recorded_and_the_rest_goes_on() {
    for (path, acts, looks, answer) in [
        ("/mcp/desk", TOOL, LIST, DONE),
        ("/a2a/bob", SEND, GET, TASK),
    ] {
        let disks = Disks::open();
        let (stub, world) = fronts(&disks).await;
        let sent = || {
            let seen = stub.seen();
            seen.into_iter().filter(|seen| seen.body == acts).count()
        };
        assert_eq!(world.post(path, &[], acts).await.body, answer);
        disks.fill();
        for refused in 1..=3 {
            let got = world.post(path, &[], acts).await;
            let error = &got.json()["error"];
            assert_eq!(error["data"]["code"], "record_unavailable", "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("cannot be recorded"), "{message}");
            let outage = world.recorder.outage().unwrap();
            assert_eq!(
                (outage.refused, outage.lost),
                (refused, 0),
                "all is counted"
            );
        }
        assert_eq!(sent(), 1, "what is not recorded is not sent");
        assert_eq!(world.post(path, &[], looks).await.body, answer);
        disks.data.free_space();
        is_over(&world.recorder).await;
        let got = world.post(path, &[], acts).await;
        assert_eq!((&*got.body, sent()), (answer, 2), "it goes on by itself");
    }
}

#[tokio::test]
async fn c165_an_outage_is_one_line_and_its_end_another_which_says_what_was_refused() {
    let disks = Disks::open();
    let (_stub, world) = fronts(&disks).await;
    let (logged, _guard) = Logged::keep();
    let lines = || logged.of(&["the record takes"]);
    for round in 1..=2 {
        assert_eq!(world.post("/mcp/desk", &[], TOOL).await.body, DONE);
        disks.fill();
        for _ in 0..3 {
            let got = world.post("/mcp/desk", &[], TOOL).await;
            assert!(got.body.contains("record_unavailable"), "{}", got.body);
        }
        disks.data.free_space();
        is_over(&world.recorder).await;
        let lines = lines();
        assert_eq!(lines.len(), 2 * round, "{lines:?}");
        let [began, ended] = &lines[2 * round - 2..] else {
            panic!("{lines:?}")
        };
        assert!(began.starts_with("ERROR the record takes nothing reason="));
        let again = "INFO the record takes what is recorded again refused=3 lost=0";
        assert_eq!(ended, again);
    }
}

#[tokio::test]
async fn c11_c53_a_call_that_was_made_when_the_disk_filled_says_so_or_is_in_the_journal() {
    for with_journal in [true, false] {
        let mut disks = Disks::open();
        disks.journal = disks.journal.filter(|_| with_journal);
        let (here, on) = <(Arc<Notify>, Arc<Notify>)>::default();
        let (meet, going) = (Arc::clone(&here), Arc::clone(&on));
        let stub = mcp::Stub::start(move |_| {
            let mut reply = mcp::json(DONE);
            let meet = mcp::Piece::Meet(Arc::clone(&meet), Arc::clone(&going));
            reply.pieces.insert(0, meet);
            reply
        })
        .await;
        let server = McpServer::Http(stub.endpoint("/mcp"));
        let servers = BTreeMap::from([("desk".to_owned(), server)]);
        let world = disks.world(servers, BTreeMap::new()).await;
        let filling = async {
            here.notified().await;
            disks.fill();
            on.notify_one();
        };
        let (got, ()) = tokio::join!(world.post("/mcp/desk", &[], TOOL), filling);
        let decision = got.header("x-rescind-decision").unwrap().parse().unwrap();
        if !got.body.contains("Cancelled.") {
            let error = &got.json()["error"];
            assert_eq!(error["data"]["code"], "record_unavailable");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("was carried out"), "{message}");
        }
        let passed = got.body.contains("Cancelled.");
        disks.data.free_space();
        is_over(&world.recorder).await;
        let engine = world.recorder.engine();
        let durable = engine.store().status().await.unwrap().durable;
        engine.store().wait_indexed(durable).await.unwrap();
        let outcome = engine.decision(decision).await.unwrap().outcome;
        // Never known better by who asked than by the record.
        assert!(!passed || outcome == "succeeded", "{outcome}");
    }
}
