//! `rescind up` while it runs: calls to it, and how it is ended.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::World;

/// The running process.
pub(crate) struct Up {
    child: Child,
    /// Where it listens, as a URL.
    pub(crate) address: String,
}

impl Up {
    /// Starts it; its log goes on in the file `up.log`.
    pub(crate) fn start(world: &World) -> Self {
        let mut log = OpenOptions::new();
        let log = log.create(true).append(true).open(world.path("up.log"));
        let log = log.unwrap();
        let mut child = world
            .command(&["up", "--listen", "127.0.0.1:0", "--json"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["listening"].as_str().unwrap().to_owned();
        Self { child, address }
    }

    /// Sends JSON, with further headers a line each, and returns the connection.
    pub(crate) fn post(&self, path: &str, headers: &str, body: &str) -> TcpStream {
        let host = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap()
    }

    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Up {
    /// Nothing outlives its test, wherever that ends.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads an answer to its end: its head and its body.
pub(crate) fn answer(mut stream: TcpStream) -> (String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}
