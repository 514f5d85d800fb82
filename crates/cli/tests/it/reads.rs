//! Two agents that share a database and nothing else, with the real binary and the service desk: the
//! second looks at what the first did wrongly, and acts.

use rustix::process::Signal;
use serde_json::{Value, json};
use service_desk::Desk;

use crate::running::{Up, answer};
use crate::world::World;

const ORDER: &str = "#W1002";

/// An agent with a session at the desk.
struct Agent<'a> {
    up: &'a Up,
    name: &'static str,
    session: String,
}

impl<'a> Agent<'a> {
    fn new(up: &'a Up, name: &'static str) -> Self {
        let mut agent = Self {
            up,
            name,
            session: String::new(),
        };
        let params = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": name, "version": "1" },
        });
        let (head, _) = agent.post("initialize", &params, "");
        agent.session = header(&head, "mcp-session-id");
        agent
    }

    /// Calls a tool, for the reason that it names, and returns the decision.
    fn call(&self, tool: &str, arguments: &Value, cause: Option<&str>) -> String {
        let cause = cause.map_or_else(String::new, |id| format!("x-rescind-cause: {id}\r\n"));
        let params = json!({ "name": tool, "arguments": arguments });
        let (head, body) = self.post("tools/call", &params, &cause);
        assert!(!body.contains("\"isError\":true"), "{body}");
        header(&head, "x-rescind-decision")
    }

    fn post(&self, method: &str, params: &Value, more: &str) -> (String, String) {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let mut headers = format!(
            "accept: application/json, text/event-stream\r\nx-rescind-run: {}\r\n{more}",
            self.name
        );
        if !self.session.is_empty() {
            headers.push_str(&format!("mcp-session-id: {}\r\n", self.session));
        }
        let path = format!("/agents/{}/mcp/desk", self.name);
        answer(self.up.post(&path, &headers, &body.to_string()))
    }
}

fn header(head: &str, name: &str) -> String {
    let named = format!("{name}: ");
    let value = head.lines().find_map(|line| line.strip_prefix(&named));
    value.unwrap_or_else(|| panic!("{head}")).to_owned()
}

/// Ids of calls that stand in a list of decisions.
fn calls(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    let calls = list.filter(|decision| decision["kind"] == "tool-call");
    let id = |decision: &Value| {
        let id = decision.get("id").unwrap_or(&decision["decision"]);
        id.as_str().unwrap().to_owned()
    };
    let mut calls: Vec<String> = calls.map(id).collect();
    calls.sort_unstable();
    calls
}

#[test]
fn c4_what_one_agent_does_on_what_another_wrote_follows_from_it_until_it_is_put_back() {
    let world = World::new();
    let database = world.path("desk.db");
    Desk::open(&database).unwrap().seed().unwrap();
    world.file(
        "tools.toml",
        include_str!("../../../../examples/service-desk/tools.toml"),
    );
    let program = json!([
        env!("CARGO_BIN_EXE_rescind"),
        "service-desk",
        "--database",
        database
    ]);
    let mut operator = program.clone();
    operator.as_array_mut().unwrap().push(json!("--operator"));
    let config = format!(
        "tools = \"tools.toml\"\n[mcp.desk]\ncommand = {program}\n[mcp.operator]\ncommand = {operator}\n"
    );
    world.file("rescind.toml", config);
    let up = Up::start(&world);
    let url = up.address.clone();
    let (orders, courier) = (Agent::new(&up, "orders"), Agent::new(&up, "courier"));
    let order = json!({ "order_id": ORDER });

    let cancel = json!({ "order_id": ORDER, "reason": "ordered by mistake" });
    let wrong = orders.call("cancel_pending_order", &cancel, None);
    let looked = courier.call("get_order_details", &order, None);
    let other = courier.call("get_order_details", &json!({ "order_id": "#W1001" }), None);
    let pickup = json!({ "order_id": ORDER, "task": "stop the parcel" });
    let acted = courier.call("book_pickup", &pickup, Some(&looked));

    let mut followed = vec![looked.clone(), acted.clone()];
    followed.sort_unstable();
    let blast = world.json(&["blast", &wrong, "--url", &url]);
    assert_eq!(calls(&blast["certain"]), followed, "{blast:#}");
    let why = world.json(&["why", &wrong, &acted, "--url", &url]);
    assert_eq!(why["strength"], "certain");
    assert_eq!(
        why["chain"][0]["evidence"],
        format!("looked at `/cancel_reason` of `orders/{ORDER}`, which was changed there")
    );

    let done = world.json(&["rollback", &wrong, "--yes", "--by", "olga", "--url", &url]);
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let mut concerned = vec![wrong, looked, acted];
    concerned.sort_unstable();
    assert_eq!(calls(&done["affected"]), concerned, "{done:#}");
    let mut desk = Desk::open(&database).unwrap();
    let order_now = format!("{:?}", desk.record("orders", ORDER).unwrap());
    assert!(order_now.contains("pending"), "{order_now}");

    let after = courier.call("get_order_details", &order, None);
    for healthy in [after, other] {
        let shown = world.json(&["show", &healthy, "--url", &url]);
        let causes = shown["decision"]["causes"].as_array().unwrap().iter();
        let reads = causes.filter(|cause| cause["kind"] == "read");
        assert_eq!(reads.count(), 0, "{shown:#}");
    }
    up.stop(Signal::TERM);
    world.ok(&["verify", "--full"]);
}
