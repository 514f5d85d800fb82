//! Three worlds outside: files in a directory, rows of a database, resources of an HTTP server.
//!
//! Tools read what they concern there, and write back what they changed; what a tool does is the same
//! as in the world in memory that replays are made in. Nothing is kept in between.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::undo::{Cause, Hands, HandsError};
use recover::plan::{HttpCall, ToolCall};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::{Value, json};
use store::worker;

use crate::world::World;

/// The worlds.
pub(crate) struct Media {
    files: tempfile::TempDir,
    rows: Mutex<Connection>,
    accounts: SocketAddr,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").finish_non_exhaustive()
    }
}

impl Media {
    /// As they are when nothing has happened.
    pub(crate) fn of(begin: &World) -> Self {
        let files = tempfile::tempdir().unwrap();
        let rows = Connection::open(files.path().join("rows.sqlite")).unwrap();
        // What is tried here is what stands in them, not what a loss of power leaves.
        let made = rows.execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;
             CREATE TABLE rows (id TEXT PRIMARY KEY, a INTEGER, b TEXT, learned TEXT)",
        );
        made.unwrap();
        let media = Self {
            files,
            rows: Mutex::new(rows),
            accounts: serve(),
        };
        for (uri, record) in &begin.0 {
            media.write(uri, Some(record));
        }
        media
    }

    /// Calls a tool.
    pub(crate) fn call(&self, tool: &str, args: &Value) -> Result<Value, String> {
        let mut world = World::default();
        for uri in concerned(tool, args) {
            world.0.extend(self.read(&uri).map(|record| (uri, record)));
        }
        let before = world.clone();
        let answer = world.call(tool, args);
        let gone = before.0.keys().filter(|uri| !world.0.contains_key(*uri));
        gone.for_each(|uri| self.write(uri, None));
        for (uri, record) in &world.0 {
            if before.0.get(uri) != Some(record) {
                self.write(uri, Some(record));
            }
        }
        answer
    }

    /// Everything that stands in them.
    pub(crate) fn all(&self) -> World {
        let mut all = World::default();
        for file in std::fs::read_dir(self.files.path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if let Some(id) = name.strip_suffix(".txt") {
                let uri = format!("files/{id}");
                all.0.extend(self.read(&uri).map(|record| (uri, record)));
            }
        }
        let rows = self.rows.lock().unwrap();
        let mut every = rows.prepare("SELECT id, a, b, learned FROM rows").unwrap();
        let read = every.query_map([], row).unwrap();
        all.0.extend(read.map(|row| {
            let row = row.unwrap();
            (format!("rows/{}", row["id"].as_str().unwrap()), row)
        }));
        let accounts = ask(self.accounts, "GET", "/accounts", "").unwrap();
        let accounts: BTreeMap<String, Value> = serde_json::from_str(&accounts).unwrap();
        all.0.extend(accounts.into_iter().map(|(path, account)| {
            let uri = path.trim_start_matches('/').to_owned();
            (uri, account)
        }));
        all
    }

    fn read(&self, uri: &str) -> Option<Value> {
        let (kind, id) = uri.split_once('/').unwrap();
        match kind {
            "files" => {
                let text = std::fs::read_to_string(self.file(id)).ok()?;
                Some(json!({ "text": text }))
            }
            "rows" => {
                let rows = self.rows.lock().unwrap();
                let asked = "SELECT id, a, b, learned FROM rows WHERE id = ?1";
                rows.query_row(asked, [id], row).optional().unwrap()
            }
            _ => {
                let account = ask(self.accounts, "GET", &format!("/{uri}"), "")?;
                Some(serde_json::from_str(&account).unwrap())
            }
        }
    }

    fn write(&self, uri: &str, record: Option<&Value>) {
        let (kind, id) = uri.split_once('/').unwrap();
        match (kind, record) {
            ("files", Some(file)) => {
                std::fs::write(self.file(id), file["text"].as_str().unwrap()).unwrap();
            }
            ("files", None) => std::fs::remove_file(self.file(id)).unwrap(),
            ("rows", Some(row)) => {
                let values = params![
                    id,
                    row["a"].as_i64(),
                    row["b"].as_str(),
                    row["learned"].to_string()
                ];
                let put = "INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3, ?4)";
                self.rows.lock().unwrap().execute(put, values).unwrap();
            }
            ("rows", None) => {
                let delete = "DELETE FROM rows WHERE id = ?1";
                self.rows.lock().unwrap().execute(delete, [id]).unwrap();
            }
            (_, Some(account)) => {
                ask(
                    self.accounts,
                    "PUT",
                    &format!("/{uri}"),
                    &account.to_string(),
                )
                .unwrap();
            }
            (_, None) => {
                ask(self.accounts, "DELETE", &format!("/{uri}"), "").unwrap();
            }
        }
    }

    fn file(&self, id: &str) -> std::path::PathBuf {
        self.files.path().join(format!("{id}.txt"))
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<Value> {
    let (id, a): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
    let (b, learned): (Option<String>, String) = (row.get(2)?, row.get(3)?);
    let learned: Value = serde_json::from_str(&learned).unwrap();
    Ok(json!({ "id": id, "a": a, "b": b, "learned": learned }))
}

/// The records that a call reads or writes.
fn concerned(tool: &str, args: &Value) -> Vec<String> {
    let kinds = match tool {
        "read" | "restore" | "delete" => return vec![args["uri"].as_str().unwrap().to_owned()],
        "write_file" | "append_file" | "read_file" => &["files/path"][..],
        "copy" => &["rows/from", "rows/to"],
        "pay" => &["accounts/account"],
        _ => &["rows/id"],
    };
    let uri = |kind: &&str| {
        let (kind, name) = kind.split_once('/').unwrap();
        format!("{kind}/{}", args[name].as_str().unwrap())
    };
    kinds.iter().map(uri).collect()
}

/// A server that keeps what is put to it; returns where.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let kept: Mutex<BTreeMap<String, String>> = Mutex::default();
    let serving = worker::spawn("accounts", move || {
        for stream in listener.incoming() {
            answer(&kept, stream.unwrap());
        }
    });
    // It answers as long as this process lives.
    Box::leak(Box::new(serving.unwrap()));
    address
}

fn answer(kept: &Mutex<BTreeMap<String, String>>, mut stream: TcpStream) {
    let (head, body) = message(&stream);
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap().to_owned());
    let mut kept = kept.lock().unwrap();
    let answer = match method {
        "PUT" => {
            kept.insert(path, body);
            Some(String::new())
        }
        "DELETE" => kept.remove(&path),
        _ if path == "/accounts" => {
            let member = |(path, account): (&String, &String)| format!("{path:?}:{account}");
            let members: Vec<String> = kept.iter().map(member).collect();
            Some(format!("{{{}}}", members.join(",")))
        }
        _ => kept.get(&path).cloned(),
    };
    let status = if answer.is_some() {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let body = answer.unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
}

/// Asks the server; none if there is no such resource.
fn ask(server: SocketAddr, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(server).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let (head, body) = message(&stream);
    head.contains(" 200 ").then_some(body)
}

/// Reads a message of HTTP: its first line, and its body.
fn message(stream: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).unwrap();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let said = line.strip_prefix("content-length: ");
        length = said.map_or(length, |said| said.trim().parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (first, String::from_utf8(body).unwrap())
}

#[async_trait]
impl Hands for Media {
    async fn call(&self, call: &ToolCall, _: &Cause) -> Result<Value, HandsError> {
        self.look(call).await
    }

    async fn look(&self, call: &ToolCall) -> Result<Value, HandsError> {
        let called = self.call(&call.tool, &call.arguments);
        called.map_err(|reason| HandsError::Tool { reason })
    }

    async fn http(&self, _: &HttpCall, _: &Cause) -> Result<Value, HandsError> {
        unreachable!("no plan here has such a step")
    }

    async fn tell(&self, who: &[String], _: &str, _: &Cause) -> Result<Vec<String>, HandsError> {
        Ok(who.to_vec())
    }
}

/// The same for whoever shares them.
pub(crate) fn hands(media: &Arc<Media>) -> Arc<dyn Hands> {
    Arc::<Media>::clone(media)
}
