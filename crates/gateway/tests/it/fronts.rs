//! What MCP and A2A have in common: slow clients, and a stop in the middle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::{McpServer, Timeouts};
use http::Method;
use http_body_util::BodyExt as _;
use tokio::sync::Notify;

use crate::support_mcp::{Piece, Reply, Stub, World, json, memory, next, stream, text};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"cancel_order","arguments":{},"_meta":{"progressToken":1}}}"#;
const DONE: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Done."}]}}"#;
const SEND: &str = r#"{"jsonrpc":"2.0","id":7,"method":"message/stream","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"Cancel it."}]}}}"#;
const TASK: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"kind":"task","id":"t-1","contextId":"c-1","status":{"state":"completed"}}}"#;

/// Both fronts: the path, what acts there, an event on the way, and the last word.
fn fronts(bytes: usize) -> [(&'static str, &'static str, String, &'static str); 2] {
    let pad = "x".repeat(bytes);
    let progress = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":1,"message":"{pad}"}}}}"#
    );
    let artifact = format!(
        r#"{{"jsonrpc":"2.0","id":7,"result":{{"kind":"artifact-update","taskId":"t-1","contextId":"c-1","artifact":{{"artifactId":"a","parts":[{{"kind":"text","text":"{pad}"}}]}}}}}}"#
    );
    [
        ("/mcp/desk", CALL, event(&progress), DONE),
        ("/a2a/bob", SEND, event(&artifact), TASK),
    ]
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// A gateway in front of an MCP server and an agent that both answer so.
async fn before(reply: Reply) -> (Stub, World) {
    let stub = Stub::start(move |seen| match seen.method {
        // No card, and nothing to listen to.
        Method::GET => json("").status(404),
        _ => reply.clone(),
    })
    .await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let servers = BTreeMap::from([("desk".to_owned(), server)]);
    let agents = BTreeMap::from([("bob".to_owned(), stub.endpoint("/bob"))]);
    let world = World::start(servers, agents, Timeouts::default(), memory()).await;
    (stub, world)
}

async fn outcomes(world: &World) -> Vec<String> {
    let record = world.record().await;
    record.into_iter().map(|view| view.outcome).collect()
}

#[tokio::test(start_paused = true)]
async fn c169_who_does_not_read_what_a_server_or_an_agent_says_holds_up_neither_memory_nor_the_end()
{
    // Many small pieces, and as many bytes in large ones.
    let small = fronts(64 << 10).map(|front| (front, 1_600));
    let large = fronts(4 << 20).map(|front| (front, 25));
    for ((path, acts, piece, last), count) in small.into_iter().chain(large) {
        let sent = Arc::new(AtomicUsize::new(0));
        let one = [text(piece), Piece::Count(Arc::clone(&sent))];
        let mut pieces: Vec<_> = std::iter::repeat_n(one, count).flatten().collect();
        pieces.push(text(event(last)));
        let (_stub, world) = before(stream(pieces)).await;
        let answer = world.send(Method::POST, path, &[], acts).await;
        // It takes the head and then nothing, until the time for that is over, which is virtual.
        tokio::time::sleep(Duration::from_secs(1_000)).await;
        let taken = sent.load(Ordering::Relaxed);
        assert!(
            taken < count / 2,
            "what was not taken was not read either: {taken} of {count}"
        );
        assert_eq!(outcomes(&world).await, ["unknown"], "{path}");
        let body = answer.into_body().collect().await;
        let said = body.map(|body| body.to_bytes()).unwrap_or_default();
        assert!(!said.windows(last.len()).any(|part| part == last.as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_cuts_short_ends_truthfully_for_record_and_caller() {
    for (path, acts, piece, last) in fronts(64 << 10) {
        for begun in [true, false] {
            let wait = Piece::Meet(Arc::default(), Arc::default());
            let reply = if begun {
                stream(vec![text(piece.clone()), wait, text(event(last))])
            } else {
                let mut reply = json(last);
                reply.pieces.insert(0, wait);
                reply
            };
            let (_stub, world) = before(reply).await;
            let asking = world.post(path, &[], acts);
            let stopping = async {
                // Virtual time: all that is said is out by then.
                tokio::time::sleep(Duration::from_secs(1)).await;
                world.gateway.stop();
                world.recorder.stop(Duration::from_secs(1)).await.unwrap()
            };
            let (got, open) = tokio::join!(asking, stopping);
            assert_eq!(open, 0, "every call has an end");
            let said = got.body.rsplit("data: {").next().unwrap();
            assert!(said.contains("gateway_stopping"), "{path} {begun}: {said}");
            assert!(!got.body.contains(last));
            assert_eq!(outcomes(&world).await, ["unknown"], "{path} {begun}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_only_listens_ends_with_the_gateway_and_breaks_off_with_its_server() {
    let heard = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    for breaks in [false, true] {
        let (here, on) = <(Arc<Notify>, Arc<Notify>)>::default();
        let meet = Piece::Meet(Arc::clone(&here), Arc::clone(&on));
        let pieces = vec![text(event(heard)), meet, Piece::Break];
        let stub = Stub::start(move |_| stream(pieces.clone())).await;
        let world = World::with_mcp(McpServer::Http(stub.endpoint("/mcp"))).await;
        let response = world.send(Method::GET, "/mcp/desk", &[], "").await;
        let mut body = response.into_body();
        assert_eq!(next(&mut body).await, event(heard));
        here.notified().await;
        if breaks {
            on.notify_one();
        } else {
            world.gateway.stop();
        }
        assert_eq!(body.collect().await.is_err(), breaks);
    }
}
