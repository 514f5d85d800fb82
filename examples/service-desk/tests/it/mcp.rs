//! The program, spoken to over standard input and output.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use service_desk::Desk;

/// The running program; it ends with its input.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last_id: u64,
}

impl Session {
    fn start(database: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_service-desk"))
            .arg("--database")
            .arg(database)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut session = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            last_id: 0,
        };
        let asked = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let info = session.ask("initialize", &asked);
        assert_eq!(info["serverInfo"]["name"], "service-desk");
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        session
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{message}").unwrap();
        input.flush().unwrap();
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].take()
    }

    fn call(&mut self, name: &str, arguments: &Value) -> (bool, String) {
        let result = self.ask("tools/call", &json!({"name": name, "arguments": arguments}));
        let text = result["content"][0]["text"].as_str().unwrap();
        (result["isError"] == true, text.to_owned())
    }

    fn names(&mut self) -> Vec<String> {
        let listed = self.ask("tools/list", &json!({}));
        let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
        listed["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect()
    }

    fn end(mut self) {
        self.input.take();
        assert!(self.child.wait().unwrap().success());
    }

    /// Kills the program as the machine would, without a last word.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn the_program_lists_its_tools_and_answers_calls() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("desk.db");
    let mut session = Session::start(&database, &["--seed"]);
    let listed = session.ask("tools/list", &json!({}));
    let cancel = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tool| tool["name"] == "cancel_pending_order")
        .unwrap();
    assert_eq!(cancel["annotations"]["readOnlyHint"], false);
    assert_eq!(
        cancel["inputSchema"]["required"],
        json!(["order_id", "reason"])
    );
    let order = json!({"order_id": "#W2001"});
    let (error, text) = session.call("get_order_details", &order);
    assert!(!error);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["status"],
        "pending"
    );
    let (error, text) = session.call("get_order_details", &json!({"order_id": "#W9"}));
    assert_eq!((error, text.as_str()), (true, "Error: order not found"));
    session.end();
}

#[test]
fn operators_and_agents_work_on_one_database_with_different_tools() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("desk.db");
    let mut agents = Session::start(&database, &["--seed"]);
    let mut operators = Session::start(&database, &["--operator", "--keys"]);
    assert!(!agents.names().contains(&"restore_record".to_owned()));
    assert!(operators.names().contains(&"restore_record".to_owned()));
    let cancel = json!({"order_id": "#W1001", "reason": "ordered by mistake"});
    assert!(!agents.call("cancel_pending_order", &cancel).0);
    let at = json!({"table": "orders", "id": "#W1001"});
    let (_, read) = operators.call("read_record", &at);
    assert_eq!(serde_json::from_str::<Value>(&read).unwrap()["version"], 2);
    let (error, said) = agents.call("read_record", &at);
    assert_eq!(
        (error, said.as_str()),
        (true, "Error: unknown tool `read_record`")
    );
    agents.end();
    operators.end();
}

#[test]
fn an_answered_write_outlives_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("desk.db");
    let mut session = Session::start(&database, &["--seed", "--keys"]);
    let message = json!({
        "user_id": "ida_moreau_3360", "text": "Hello.", "idempotency_key": "k1",
    });
    let (_, first) = session.call("message_customer", &message);
    session.kill();
    let mut session = Session::start(&database, &["--seed", "--keys"]);
    let (_, second) = session.call("message_customer", &message);
    assert_eq!(second, first);
    session.kill();
    let state = Desk::open(&database).unwrap().state().unwrap();
    assert_eq!(state["messages"].len(), 1);
}
