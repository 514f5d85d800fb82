//! What the story plays on: a directory, the service as `up` starts it, the tool server as its
//! child, and the model.

use std::path::{Path, PathBuf};

use service_desk::Desk;
use service_desk::story::Playback;

use crate::args::{Demo, Global};
use crate::command::up::{Service, started};
use crate::config::Flag;
use crate::failure::Failure;
use crate::out::Out;

/// The hidden command that the gateway starts as the tool server.
const DESK: &str = "service-desk";

/// Everything that the story needs, set up and not yet running.
pub(super) struct Stage {
    pub(super) service: Service,
    pub(super) playback: Playback,
    /// Where the record is.
    pub(super) data_dir: PathBuf,
    /// The configuration that it runs with.
    pub(super) config: PathBuf,
    /// The tool server's database.
    pub(super) database: PathBuf,
}

impl Stage {
    pub(super) async fn set(out: &Out, global: &Global, args: &Demo) -> Result<Self, Failure> {
        if global.url.is_some() {
            return Err(
                Failure::new("the demo starts a server of its own").with_hint("leave out `--url`")
            );
        }
        let data_dir = match &global.data_dir {
            Some(dir) => dir.clone(),
            None => unused(&std::env::temp_dir()),
        };
        if data_dir.join("FORMAT").exists() {
            let message = format!("there is a record in `{}` already", data_dir.display());
            return Err(Failure::new(message).with_hint(
                "the demo begins one of its own: name a new directory with `--data-dir`",
            ));
        }
        let own = data_dir.join("demo");
        std::fs::create_dir_all(&own).map_err(|error| Failure::file("create", &own, &error))?;
        // The tool server has a working directory of its own.
        let own = std::path::absolute(&own).map_err(|error| Failure::file("find", &own, &error))?;
        let database = own.join("desk.db");
        desk_of(&database)?.seed().map_err(of_desk)?;
        let tools = write(&own.join("tools.toml"), service_desk::story::TOOLS)?;
        let playback = Playback::bind().await.map_err(no_port)?;
        let model = playback.address().map_err(no_port)?;
        let text = configuration(&format!("http://{model}/v1"), &database, &tools)?;
        let config = write(&own.join("rescind.toml"), &text)?;
        let global = Global {
            config: Some(config.clone()),
            data_dir: Some(data_dir.clone()),
            ..global.clone()
        };
        let listen = Flag {
            option: "listen",
            name: "--listen",
            value: args.listen.clone(),
        };
        let service = started(out, &global, &[listen]).await?;
        Ok(Self {
            service,
            playback,
            data_dir,
            config,
            database,
        })
    }
}

/// Opens the tool server's database beside it.
pub(super) fn desk_of(database: &Path) -> Result<Desk, Failure> {
    Desk::open(database).map_err(of_desk)
}

pub(super) fn of_desk(error: service_desk::DeskError) -> Failure {
    Failure::new(engine::chain(&error))
}

fn no_port(error: std::io::Error) -> Failure {
    Failure::new(format!("there is no port for the model: {error}"))
}

fn write(path: &Path, text: &str) -> Result<PathBuf, Failure> {
    std::fs::write(path, text).map_err(|error| Failure::file("write", path, &error))?;
    Ok(path.to_owned())
}

/// The configuration of the demo: nothing in it that a user could not write.
fn configuration(model: &str, database: &Path, tools: &Path) -> Result<String, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("this program is nowhere: {error}")))?;
    let program = text(&program)?;
    let database = text(database)?;
    let tools = text(tools)?;
    Ok(format!(
        "# Written by `rescind demo`.\n\
         tools = {tools}\n\n\
         [record]\n\
         publish_interval_ms = 100\n\n\
         [upstreams.openai]\n\
         url = \"{model}\"\n\n\
         # The tools of agents.\n\
         [mcp.desk]\n\
         command = [{program}, \"{DESK}\", \"--database\", {database}]\n\n\
         # The same desk with the tools of operators, for undoing.\n\
         [mcp.operator]\n\
         command = [{program}, \"{DESK}\", \"--database\", {database}, \"--operator\"]\n\
         agents = false\n"
    ))
}

/// A directory that is not there yet: process ids come again, in containers at once.
fn unused(within: &Path) -> PathBuf {
    let id = std::process::id();
    let first = within.join(format!("rescind-demo-{id}"));
    let further = (2..).map(|n: u32| within.join(format!("rescind-demo-{id}-{n}")));
    let mut dirs = std::iter::once(first.clone()).chain(further);
    dirs.find(|dir| !dir.exists()).unwrap_or(first)
}

/// A path as a TOML string: of the two forms, JSON's is the same.
fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().ok_or_else(|| {
        Failure::new(format!("`{}` is no text", path.display()))
            .with_hint("use a path without other bytes, with `--data-dir`")
    })?;
    Ok(serde_json::to_string(text)?)
}
