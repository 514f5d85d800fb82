//! A directory of one's own to call the command in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A desk that refunds what it should not.
pub(crate) const REFUND: &str = r#"[
  {"role":"system","content":"You are the refund desk. Never guess an order."},
  {"role":"user","content":"Please refund order TH-48213, the headphones do not fit."},
  {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",
    "function":{"name":"get_order","arguments":"{\"order_id\":\"TH-48213\"}"}}]},
  {"role":"tool","tool_call_id":"call_1","content":"{\"order_id\":\"TH-48213\",\"payment\":\"PAY-30552\"}"},
  {"role":"assistant","content":"I refund it.","tool_calls":[{"id":"call_2","type":"function",
    "function":{"name":"issue_refund","arguments":"{\"payment\":\"PAY-30552\"}"}}]},
  {"role":"tool","tool_call_id":"call_2","content":"{\"refund\":\"RF-99120\"}"},
  {"role":"assistant","content":"Done, your refund is RF-99120."}
]"#;

pub(crate) struct World {
    dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A world in which the refund was imported.
    pub(crate) fn with_refund() -> Self {
        let world = Self::new();
        let file = world.file("refund.json", REFUND);
        world.ok(&["import", &file, "--format", "openai-chat"]);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rescind"));
        command
            .current_dir(self.dir.path())
            .args(args)
            .env_clear()
            .env("HOME", self.path("home"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Calls the command, which must succeed, and returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Calls the command with `--json`, and returns its one object.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Calls the command, which must fail with `code`, and returns what it said.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.call(args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&output)
        );
        said(&output)
    }

    pub(crate) fn copy_record(&self, to: &str) -> PathBuf {
        let to = self.path(to);
        copy(&self.path("rescind-data"), &to);
        to
    }
}

pub(crate) fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
