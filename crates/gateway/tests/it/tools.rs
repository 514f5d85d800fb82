//! What servers say of their tools: held against the catalogue, and what takes a call back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use engine::live;
use engine::undo::{Approve, Catalogue, Include, Request, Service};
use engine::view::{ToolView, ToolsView};
use gateway::McpServer;
use model::DecisionId;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::support_mcp::{Piece, Reply, Seen, Stub, World, json as answer};

/// What the server has, as it lists it for agents, and for us.
#[derive(Debug, Default)]
struct Shop {
    tools: Vec<Value>,
    hidden: Vec<Value>,
    /// Calls that came, as `tool arguments`.
    calls: Vec<String>,
}

type Shared = Arc<Mutex<Shop>>;

/// Answers agents, and us, who say so in `clientInfo`: our session has another name.
fn server(shop: &Shared) -> impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static {
    let shop = Arc::clone(shop);
    move |seen| {
        let mut shop = shop.lock().unwrap();
        let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let ours = seen.header("mcp-session-id") == Some("ours");
        let session = match asked["params"]["clientInfo"]["name"].as_str() {
            Some("rescind") => "ours",
            _ => "theirs",
        };
        let result = match asked["method"].as_str().unwrap_or_default() {
            "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": {} }),
            // In two pages.
            "tools/list" if asked["params"]["cursor"] == json!("2") && ours => {
                json!({ "tools": shop.hidden })
            }
            "tools/list" if ours => json!({ "tools": shop.tools, "nextCursor": "2" }),
            "tools/list" => json!({ "tools": shop.tools }),
            "tools/call" => {
                let tool = asked["params"]["name"].as_str().unwrap();
                let arguments = &asked["params"]["arguments"];
                shop.calls.push(format!("{tool} {arguments}"));
                let said = json!({ "booking": { "id": "B7" } }).to_string();
                json!({ "content": [{ "type": "text", "text": said }] })
            }
            _ => return answer("").status(202),
        };
        let reply = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
        answer(reply.to_string()).with("mcp-session-id", session)
    }
}

fn tool(name: &str, arguments: &[&str], annotations: &Value) -> Value {
    let properties = arguments.iter().map(|name| (name.to_string(), json!({})));
    let properties: serde_json::Map<_, _> = properties.collect();
    json!({
        "name": name,
        "inputSchema": { "type": "object", "properties": properties, "required": arguments },
        "annotations": annotations,
    })
}

/// Names the tool that compensates, and where its parameters come from.
fn recovery(tool: &str, parameters: &Value) -> Value {
    json!({ "recovery": {
        "strategy": "compensation",
        "compensatingOperation": { "operationId": tool, "parameters": parameters },
    } })
}

struct Desk {
    world: World,
    shop: Shared,
    catalogue: &'static str,
    _stub: Stub,
}

impl Desk {
    async fn open(tools: Vec<Value>, hidden: Vec<Value>, catalogue: &'static str) -> Self {
        let shop = Shared::default();
        *shop.lock().unwrap() = Shop {
            tools,
            hidden,
            calls: Vec::new(),
        };
        let stub = Stub::start(server(&shop)).await;
        let server = McpServer::Http(stub.endpoint("/mcp"));
        let world = World::with_catalogue(server, catalogue, live::Options::default()).await;
        Self {
            world,
            shop,
            catalogue,
            _stub: stub,
        }
    }

    async fn ask(&self, method: &str, params: &Value) -> Option<DecisionId> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let path = "/agents/ada/mcp/desk";
        let answered = self.world.post(path, &[], &body.to_string()).await;
        assert_eq!(answered.status, 200, "{}", answered.body);
        answered.header("x-rescind-decision")?.parse().ok()
    }

    async fn call(&self, tool: &str, arguments: &Value) -> DecisionId {
        let params = json!({ "name": tool, "arguments": arguments });
        self.ask("tools/call", &params).await.unwrap()
    }

    fn service(&self) -> Service {
        let catalogue = Arc::new(Catalogue::parse(self.catalogue).unwrap());
        let (engine, tasks) = (self.world.recorder.engine(), self.world.recorder.tasks());
        let hands = self.world.gateway.hands();
        Service::new(engine.clone(), hands, catalogue, tasks.clone())
    }

    /// The tools, once they are as `done` wants them.
    async fn tools(&self, done: impl Fn(&ToolsView) -> bool) -> ToolsView {
        let service = self.service();
        loop {
            let view = service.tools().await.unwrap();
            if done(&view) {
                return view;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn of<'a>(view: &'a ToolsView, name: &str) -> &'a ToolView {
    view.tools.iter().find(|tool| tool.name == name).unwrap()
}

fn misfits(view: &ToolsView) -> Vec<&str> {
    view.misfits.iter().map(|m| m.what.as_str()).collect()
}

const CATALOGUE: &str = r#"
server = "desk"

[resources.order]
uri = "orders/{id}"
read = { tool = "read_order", args = { id = "{id}" } }
restore = { tool = "restore_order", args = { id = "{id}", fields = "{fields}" } }

[tools.cancel]
class = "compensable"
writes = [{ order = "{args.id}" }]

[tools.gone]
class = "irreversible"

[tools.refund]
undo = { tool = "charge", args = { amount = "{args.amonut}" } }
"#;

#[tokio::test]
async fn a_catalogue_that_does_not_fit_is_told_when_a_server_lists_its_tools() {
    let tools = vec![
        tool("cancel", &["id"], &json!({})),
        tool("refund", &["amount"], &json!({ "readOnlyHint": false })),
    ];
    // Agents see neither how records are read nor how they are put back.
    let hidden = vec![
        tool("read_order", &["id"], &json!({})),
        tool("restore_order", &["id", "fields"], &json!({})),
    ];
    let desk = Desk::open(tools, hidden, CATALOGUE).await;
    let nothing = desk.service().tools().await.unwrap();
    assert!(nothing.misfits.is_empty() && nothing.tools.iter().all(|t| t.listed.is_none()));
    desk.ask("tools/list", &json!({})).await;
    let view = desk.tools(|view| !view.misfits.is_empty()).await;
    assert_eq!(
        misfits(&view),
        [
            "the server `desk` has no tool `gone`",
            "`{args.amonut}` cannot be there: `refund` takes no `amonut`",
            "the server `desk` has no tool `charge`",
        ]
    );
    let at: Vec<_> = view.misfits.iter().map(|m| (m.line, &*m.at)).collect();
    assert_eq!(at[0], (13, "tools.gone"));
    assert_eq!(of(&view, "gone").listed, Some(false));
    assert_eq!(of(&view, "restore_order").listed, Some(true));
    assert!(of(&view, "gone").has_no_undo() && !of(&view, "cancel").has_no_undo());
    assert_eq!(of(&view, "cancel").undo[0].way, "restore");
}

#[tokio::test]
async fn a_catalogue_that_fits_is_found_so_and_the_server_asked_no_more_than_it_is() {
    let tools = vec![
        tool("cancel", &["id"], &json!({})),
        tool("read_order", &["id"], &json!({})),
        tool("restore_order", &["id", "fields"], &json!({})),
        tool("gone", &[], &json!({})),
        tool("charge", &["amount"], &json!({})),
        // Says not what it takes, so what is asked of it may be there.
        json!({ "name": "refund" }),
    ];
    let desk = Desk::open(tools, Vec::new(), CATALOGUE).await;
    desk.ask("tools/list", &json!({})).await;
    let view = desk.service().tools().await.unwrap();
    assert!(view.misfits.is_empty(), "{:?}", view.misfits);
    assert!(view.tools.iter().all(|tool| tool.listed == Some(true)));
}

#[tokio::test]
async fn who_says_what_class_a_call_has_is_told_of_each_tool() {
    let tools = vec![
        tool("look", &[], &json!({ "readOnlyHint": true })),
        tool(
            "book",
            &[],
            &recovery("drop", &json!({ "id": "$response.body#/booking/id" })),
        ),
        tool("tell", &[], &json!({})),
    ];
    let desk = Desk::open(tools, Vec::new(), "").await;
    desk.ask("tools/list", &json!({})).await;
    for name in ["look", "book", "book", "tell"] {
        desk.call(name, &json!({})).await;
    }
    desk.world.record().await;
    let said = |view: &ToolsView| {
        let line = |tool: &ToolView| {
            let undo = tool.undo.first();
            let undo = undo.map(|way| format!("{} by {}", way.tool.clone().unwrap(), way.by));
            let undo = undo.unwrap_or_else(|| "no undo".to_owned());
            let (class, by, calls) = (&tool.class, &tool.class_by, tool.calls);
            format!("{}: {class} by {by}, {undo}, {calls}", tool.name)
        };
        view.tools.iter().map(line).collect::<Vec<_>>()
    };
    let expected = [
        "book: compensable by metadata, drop by metadata, 2",
        "look: read by annotations, no undo, 1",
        "tell: unreviewed by nobody, no undo, 1",
    ];
    let live = desk.service().tools().await.unwrap();
    assert_eq!(said(&live), expected);
    // The record alone knows it too.
    let engine = desk.world.recorder.engine();
    let (nothing, unasked) = (Catalogue::default(), BTreeMap::new());
    let offline = engine.tools(&nothing, &unasked).await.unwrap();
    assert_eq!(said(&offline), expected);
    assert!(offline.tools.iter().all(|tool| tool.listed.is_none()));
    assert!(offline.tools.iter().all(|tool| tool.last.is_some()));
    // The operator's word goes before the server's.
    let own = "[tools.book]\nserver = \"desk\"\nundo = \"none\"\nclass = \"bufferable\"\n";
    let own = Catalogue::parse(own).unwrap();
    let own = said(&engine.tools(&own, &unasked).await.unwrap());
    assert_eq!(own[0], "book: bufferable by catalogue, no undo, 2");
}

#[tokio::test]
async fn a_call_is_taken_back_by_the_tool_that_its_server_names() {
    let parameters = json!({ "id": "$response.body#/booking/id", "by": "$request.body#/who" });
    let tools = vec![
        tool("book", &["who"], &recovery("drop", &parameters)),
        tool("drop", &["id", "by"], &json!({})),
    ];
    let desk = Desk::open(tools, Vec::new(), "").await;
    desk.ask("tools/list", &json!({})).await;
    let booked = desk.call("book", &json!({ "who": "ada" })).await;
    let service = desk.service();
    let request = Request {
        roots: vec![booked],
        reason: "the wrong flight".to_owned(),
        include: Include::None,
        ..Request::default()
    };
    let proposed = service.propose(&request).await.unwrap();
    let approve = Approve {
        digest: proposed.digest.parse().unwrap(),
        by: "olga",
        waits: false,
    };
    let id: DecisionId = proposed.id.parse().unwrap();
    let done = service.approve(id, approve, true).await.unwrap();
    assert_eq!(done.state.name(), "succeeded", "{done:?}");
    assert_eq!(
        desk.shop.lock().unwrap().calls,
        [r#"book {"who":"ada"}"#, r#"drop {"by":"ada","id":"B7"}"#]
    );
}

#[tokio::test]
async fn a_server_that_only_we_call_is_refused_to_agents_and_reached_by_rollbacks() {
    let catalogue = r#"
[resources.order]
server = "operator"
uri = "orders/{id}"
read = { tool = "read_order", args = { id = "{id}" } }

[tools.cancel]
server = "desk"
writes = [{ order = "{args.id}" }]
"#;
    let desk = Desk::open(Vec::new(), Vec::new(), catalogue).await;
    let call = json!({ "name": "read_order", "arguments": { "id": "W1" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call });
    for path in ["/mcp/operator", "/agents/ada/mcp/operator"] {
        let refused = desk.world.post(path, &[], &body.to_string()).await;
        assert_eq!(refused.status, 403);
        assert_eq!(refused.json()["error"]["code"], "not_for_agents");
    }
    assert!(desk.shop.lock().unwrap().calls.is_empty());
    desk.call("cancel", &json!({ "id": "W1" })).await;
    let read = r#"read_order {"id":"W1"}"#;
    let calls = desk.shop.lock().unwrap().calls.clone();
    assert_eq!(calls, [read, r#"cancel {"id":"W1"}"#, read]);
}

#[tokio::test]
async fn a_server_that_hangs_when_we_greet_it_holds_up_no_image_of_another() {
    let catalogue = r#"
[resources.slow]
server = "slow"
uri = "slow/{id}"
read = { tool = "read", args = { id = "{id}" } }

[resources.fast]
server = "desk"
uri = "fast/{id}"
read = { tool = "read", args = { id = "{id}" } }

[tools.wait]
server = "desk"
writes = [{ slow = "{args.id}" }]

[tools.go]
server = "desk"
writes = [{ fast = "{args.id}" }]
"#;
    let (greeted, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, on) = (Arc::clone(&greeted), Arc::clone(&go_on));
    let hangs = Stub::start(move |seen: &Seen| match seen.body.contains("clientInfo") {
        true => Reply {
            pieces: vec![Piece::Meet(Arc::clone(&here), Arc::clone(&on))],
            ..answer("")
        },
        false => answer("").status(400),
    })
    .await;
    let stub = Stub::start(server(&Shared::default())).await;
    let of = |name: &str, stub: &Stub| {
        let server = McpServer::Http(stub.endpoint("/mcp"));
        (name.to_owned(), server)
    };
    let servers = BTreeMap::from([of("desk", &stub), of("slow", &hangs)]);
    let recording = live::Options {
        catalogue: Some(Arc::new(Catalogue::parse(catalogue).unwrap())),
        ..live::Options::default()
    };
    let world = World::with_servers(servers, recording).await;
    let call = |tool: &'static str| {
        let params = json!({ "name": tool, "arguments": { "id": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let world = &world;
        async move { world.post("/mcp/desk", &[], &body.to_string()).await }
    };
    let waits = async {
        let answered = call("wait").await;
        assert_eq!(answered.status, 200, "it has no image, and goes on");
    };
    let goes = async {
        greeted.notified().await;
        // The other is being greeted all this time.
        let answered = call("go").await;
        assert_eq!(answered.status, 200);
        go_on.notify_one();
    };
    tokio::join!(waits, goes);
}
