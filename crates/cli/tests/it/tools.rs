//! `rescind tools`: what there is, drafts for the catalogue, and the catalogue against real servers.

use rustix::process::Signal;
use serde_json::{Value, json};
use service_desk::Desk;

use crate::running::{Up, answer};
use crate::world::World;

/// A world in which the refund was imported, with a catalogue of these tools.
fn desk(tools: &str) -> World {
    let world = World::with_refund();
    Desk::open(&world.path("shop.db")).unwrap().seed().unwrap();
    world.file("tools.toml", tools);
    let program = env!("CARGO_BIN_EXE_rescind");
    world.file(
        "rescind.toml",
        format!(
            "tools = \"tools.toml\"\n[mcp.desk]\n\
             command = [\"{program}\", \"service-desk\", \"--database\", \"shop.db\"]\n"
        ),
    );
    world
}

fn names(view: &Value) -> Vec<&str> {
    let tools = view["tools"].as_array().unwrap();
    tools.iter().map(|t| t["name"].as_str().unwrap()).collect()
}

#[test]
fn tools_are_those_that_were_called_and_those_that_the_catalogue_names() {
    let world = desk(
        "server = \"desk\"\n[tools.get_order]\nclass = \"read\"\n\
         [tools.close]\nclass = \"irreversible\"\ntell = [\"customer\"]\n",
    );
    let view = world.json(&["tools"]);
    // Only the catalogue knows on which server.
    assert_eq!(names(&view), ["issue_refund", "close", "get_order"]);
    assert_eq!(view["tools"][0]["server"], Value::Null);
    assert_eq!(view["tools"][0]["class_by"], "nobody");
    assert_eq!(view["tools"][0]["calls"], 1);
    let read = &view["tools"][2];
    assert_eq!(
        (&read["server"], &read["calls"]),
        (&json!("desk"), &json!(1))
    );
    assert_eq!(
        (&read["class"], &read["class_by"]),
        (&json!("read"), &json!("catalogue"))
    );
    assert_eq!(read["listed"], Value::Null, "the server was not asked");
    let without = world.json(&["tools", "--no-undo"]);
    assert_eq!(names(&without), ["issue_refund", "close"]);
    let without = world.json(&["tools", "--no-undo", "--server", "desk"]);
    assert_eq!(names(&without), ["close"]);
    let text = world.ok(&["tools"]);
    assert!(text.contains("2 of them have no way back"), "{text}");
    assert!(text.contains("irreversible (catalogue)"), "{text}");
}

#[test]
fn drafts_hold_nothing_until_their_marks_are_taken_off_and_then_fit() {
    let world = desk("");
    let drafts = world.ok(&["tools", "suggest"]);
    assert!(drafts.contains("# [tools.issue_refund]"), "{drafts}");
    assert!(
        drafts.contains("# server = \"desk\""),
        "the only one: {drafts}"
    );
    assert!(!drafts.contains("TH-48213") && !drafts.contains("PAY-30552"));
    world.file("tools.toml", &drafts);
    world.ok(&["config", "check"]);
    let before = world.json(&["tools", "--no-undo"]);
    assert_eq!(names(&before), ["get_order", "issue_refund"]);
    let taken = drafts
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line));
    let taken: String = taken.map(|line| format!("{}\n", line.trim())).collect();
    world.file("tools.toml", taken);
    world.ok(&["config", "check"]);
    assert_eq!(
        names(&world.json(&["tools", "--no-undo"])),
        ["issue_refund"]
    );
    let nothing = world.json(&["tools", "suggest"]);
    assert_eq!(
        (&nothing["toml"], &nothing["calls"]),
        (&json!(""), &json!(2))
    );
    // A file that is there may be somebody's work.
    let out = ["tools", "suggest", "--out", "tools.toml"];
    let said = world.fails(2, &out);
    assert!(said.contains("none is written over"), "{said}");
    world.ok(&["tools", "suggest", "--out", "drafts.toml"]);
    assert!(world.path("drafts.toml").exists());
}

/// Names a tool that is not there, an argument that no tool takes, and an undo that the server lacks.
const MISFIT: &str = r#"
server = "desk"

[resources.order]
uri = "orders/{id}"
read = { tool = "get_order_details", args = { order_id = "{id}" } }

[tools.cancel_order]
class = "compensable"

[tools.cancel_pending_order]
reads = [{ order = "{args.order}" }]

[tools.modify_user_address]
undo = { tool = "unmodify_user_address", args = { user_id = "{args.user_id}" } }
"#;

const WRONG: [&str; 3] = [
    "tools.toml:8:8: the server `desk` has no tool `cancel_order`",
    "`{args.order}` cannot be there: `cancel_pending_order` takes no `order`",
    "the server `desk` has no tool `unmodify_user_address`",
];

#[test]
fn a_live_check_asks_the_servers_and_fails_with_what_does_not_fit() {
    let world = desk(MISFIT);
    // Without asking, nothing is known to be wrong.
    world.ok(&["config", "check"]);
    let said = world.fails(1, &["config", "check", "--live"]);
    for wrong in WRONG {
        assert!(said.contains(wrong), "{said}");
    }
    assert!(
        said.contains("did you mean `modify_user_address`?"),
        "{said}"
    );
    let right = MISFIT
        .replace("[tools.cancel_order]", "[tools.calculate]")
        .replace("{args.order}", "{args.order_id}")
        .replace("unmodify_user_address\"", "get_user_details\"");
    world.file("tools.toml", right);
    let said = world.ok(&["config", "check", "--live"]);
    assert!(said.contains("nothing is wrong"), "{said}");
    let said = world.ok(&["config", "check"]);
    assert!(said.contains("nothing is wrong"), "{said}");
    // A server that does not answer is a finding too.
    let file = world.path("rescind.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("service-desk", "no-such-command")).unwrap();
    let said = world.fails(1, &["config", "check", "--live"]);
    assert!(
        said.contains("`mcp.desk` does not list its tools"),
        "{said}"
    );
}

#[test]
fn what_does_not_fit_is_told_once_an_agent_has_had_the_tools_listed() {
    let world = desk(MISFIT);
    let up = Up::start(&world);
    let url = up.address.clone();
    let accept = "accept: application/json, text/event-stream\r\n";
    let ask = |headers: &str, message: Value| {
        let headers = format!("{accept}{headers}");
        answer(up.post("/mcp/desk", &headers, &message.to_string()))
    };
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "tests", "version": "1" } });
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello });
    let (head, _) = ask("", hello);
    let head = head.to_ascii_lowercase();
    let session = head
        .lines()
        .find(|line| line.starts_with("mcp-session-id:"));
    let session = format!("{}\r\n", session.unwrap());
    let told = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    ask(&session, told);
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {} });
    let (_, tools) = ask(&session, list);
    assert!(tools.contains("cancel_pending_order"), "{tools}");
    // Before anything is found wrong, the server is asked by us too: that takes its time.
    let view = loop {
        let view = world.json(&["tools", "--url", &url]);
        if view["misfits"][0]["what"].is_string() {
            break view;
        }
    };
    let text = world.ok(&["tools", "--url", &url]);
    for wrong in WRONG {
        assert!(text.contains(wrong), "{text}");
    }
    assert_eq!(view["misfits"][0]["line"], 8);
    let log = std::fs::read_to_string(world.path("up.log")).unwrap();
    let told = "Z warning: the catalogue does not fit what the server lists; server desk; at tools.cancel_order; what ";
    assert!(log.contains(told), "{log}");
    let listed = |name| {
        let tools = view["tools"].as_array().unwrap().iter();
        let mut named = tools.filter(|tool| tool["name"] == name);
        named.next().unwrap()["listed"].clone()
    };
    assert_eq!(listed("cancel_order"), false);
    assert_eq!(listed("cancel_pending_order"), true);
    let said = world.fails(2, &["tools", "suggest", "--url", &url]);
    assert!(
        said.contains("drafts are made from the files only"),
        "{said}"
    );
    up.stop(Signal::TERM);
}
