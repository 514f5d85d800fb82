//! A server that is a program of ours: one process, and who waits for which of its lines.
//!
//! Standard input and output carry one message a line and do not say whom a line is for. Replies go
//! to whoever asked, progress to whoever gave its token; any other line goes to the one request
//! under way, else to who listens, and else waits for somebody to listen. What the program writes
//! to standard error goes to our log and nowhere else.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::live::Recorder;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child as Process, ChildStdin, Command};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wire::jsonrpc::{self, Id};
use wire::mcp::What;
use wire::mcp::stdio::{Lines, one_line};

use super::upkeep::is_idle;

/// A program that speaks MCP over its standard input and output.
#[derive(Clone)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it is started; none for where we were.
    pub cwd: Option<PathBuf>,
    /// The longest wait before one that ended is started again.
    pub backoff_max: Duration,
}

impl std::fmt::Debug for Program {
    /// Shows no variable: they may be credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("command", &self.command.first())
            .finish_non_exhaustive()
    }
}

/// Lines that wait for their reader, in either direction.
const LINES_MAX: usize = 64;

/// Lines that wait for somebody to listen; the oldest are dropped first.
const HELD_MAX: usize = 256;

/// How long a program has to end after its input was closed, and again after it was told to.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a line waits for one who asked and does not read.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How often a program is looked at.
const TICK: Duration = Duration::from_secs(15);

/// A process, shared by everybody who waits for its lines.
#[derive(Debug)]
pub(super) struct Child {
    /// The session that it is.
    pub(super) session: String,
    /// The server that it is of.
    server: String,
    to: mpsc::Sender<Vec<u8>>,
    state: Mutex<State>,
    /// Told to end it.
    pub(super) stop: CancellationToken,
    /// Told to let it end once nobody waits for it.
    pub(super) drain: CancellationToken,
    /// Told whenever nobody waits for it any more.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    posts: Vec<Post>,
    posted: u64,
    listener: Option<mpsc::Sender<String>>,
    held: VecDeque<String>,
    /// Lines that nobody listened for and that found no room, since somebody listened last.
    dropped: u64,
    used: Instant,
    /// Whether it ever answered.
    answered: bool,
    /// How it ended.
    ended: Option<String>,
}

/// A request, or several of a batch, that wait for replies.
#[derive(Debug)]
struct Post {
    number: u64,
    ids: Vec<Id<'static>>,
    tokens: Vec<Id<'static>>,
    to: mpsc::Sender<String>,
}

impl Child {
    /// Starts the program.
    pub(super) fn start(
        session: String,
        server: &str,
        program: &Program,
        line_bytes_max: usize,
        idle: Duration,
        recorder: &Recorder,
    ) -> std::io::Result<Arc<Self>> {
        let tasks = recorder.tasks();
        let mut words = program.command.iter();
        let name = words.next().map_or("", String::as_str);
        let mut command = Command::new(name);
        command
            .args(words)
            .env_clear()
            .envs(&program.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What ends us from a terminal must not end it before its calls have ended.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = &program.cwd {
            command.current_dir(cwd);
        }
        let mut process = command.spawn()?;
        let (to, lines) = mpsc::channel(LINES_MAX);
        let child = Arc::new(Self {
            session,
            server: server.to_owned(),
            to,
            state: Mutex::new(State {
                posts: Vec::new(),
                posted: 0,
                listener: None,
                held: VecDeque::new(),
                dropped: 0,
                used: Instant::now(),
                answered: false,
                ended: None,
            }),
            stop: CancellationToken::new(),
            drain: recorder.stopping().child_token(),
            freed: Notify::new(),
        });
        let closing = child.stop.child_token();
        if let Some(stdin) = process.stdin.take() {
            let closing = closing.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = write(stdin, lines) => {}
                    () = closing.cancelled() => {}
                }
            });
        }
        if let Some(stderr) = process.stderr.take() {
            let server = server.to_owned();
            tasks.spawn(async move {
                let mut lines = BufReader::new(stderr.take(u64::MAX)).split(b'\n');
                while let Ok(Some(line)) = lines.next_segment().await {
                    debug!(server, line = %String::from_utf8_lossy(&line), "program wrote to its standard error");
                }
            });
        }
        let reading = Arc::clone(&child);
        tasks.spawn(async move { reading.run(process, line_bytes_max, idle, closing).await });
        Ok(child)
    }

    /// Reads what the program says until it ends, is told to, or nobody uses it any more.
    async fn run(
        self: Arc<Self>,
        mut process: Process,
        line_bytes_max: usize,
        idle: Duration,
        closing: CancellationToken,
    ) {
        let mut lines = Lines::new(line_bytes_max);
        let mut buffer = vec![0; 16 << 10];
        if let Some(mut stdout) = process.stdout.take() {
            loop {
                let read = tokio::select! {
                    read = stdout.read(&mut buffer) => read,
                    () = self.stop.cancelled() => break,
                    () = self.spared() => break,
                    () = tokio::time::sleep(TICK) => {
                        if self.is_idle(idle) {
                            break;
                        }
                        continue;
                    }
                };
                let Ok(len @ 1..) = read else { break };
                for line in lines.push(&buffer[..len]) {
                    match line.map(String::from_utf8) {
                        Ok(Ok(line)) => self.route(line).await,
                        Ok(Err(_)) => debug!("program wrote a line that is not UTF-8"),
                        Err(error) => debug!(%error, "program wrote a line that is too long"),
                    }
                }
            }
        }
        closing.cancel();
        let how = end(process).await;
        let mut state = self.state();
        state.ended = Some(how);
        // Whoever waits learns of it by this.
        state.posts.clear();
        state.listener = None;
    }

    /// Waits until it may end: it is told so, and nobody waits for it.
    async fn spared(&self) {
        self.drain.cancelled().await;
        while !self.state().posts.is_empty() {
            self.freed.notified().await;
        }
    }

    /// Hands a line to whom it is for.
    async fn route(&self, line: String) {
        let to = {
            let Ok(messages) = jsonrpc::read_text(&line) else {
                // Programs print what they should not.
                debug!("program wrote a line that is no message");
                return;
            };
            let mut state = self.state();
            state.used = Instant::now();
            let answered: Vec<Id<'_>> = messages
                .responses()
                .filter_map(|response| response.id.clone())
                .collect();
            if answered.is_empty() {
                let token = messages
                    .requests()
                    .find_map(|request| match What::of(request) {
                        Ok(What::Progress(token)) => token,
                        _ => None,
                    });
                match state.for_whom(token.as_ref()) {
                    Some(to) => to,
                    None => {
                        state.hold(line);
                        if state.dropped == 1 {
                            // Once, whatever else it says: the end of it tells how much was dropped.
                            warn!(server = %self.server, "what a program says is dropped, because nobody listens");
                        }
                        return;
                    }
                }
            } else {
                state.answered = true;
                let at = state
                    .posts
                    .iter()
                    .position(|post| post.ids.iter().any(|id| answered.contains(id)));
                let Some(at) = at else {
                    debug!("program replied to a request that nobody waits for");
                    return;
                };
                let post = &mut state.posts[at];
                post.ids.retain(|id| !answered.contains(id));
                let to = post.to.clone();
                if post.ids.is_empty() {
                    state.posts.swap_remove(at);
                    self.freed.notify_one();
                }
                to
            }
        };
        // Waiting here holds the program back, as a pipe would. But others wait for it too, so who
        // does not read what it asked for loses it.
        if timeout(READ_WITHIN, to.send(line)).await.is_err() {
            self.state().posts.retain(|post| !post.to.same_channel(&to));
            self.freed.notify_one();
            metrics::counter!("rescind_mcp_readers_dropped_total").increment(1);
        }
    }

    /// Sends a message that gets replies, and returns where they come. None once it has ended.
    pub(super) async fn ask(
        &self,
        ids: Vec<Id<'static>>,
        tokens: Vec<Id<'static>>,
        message: &[u8],
    ) -> Option<(u64, mpsc::Receiver<String>)> {
        let (to, lines) = mpsc::channel(LINES_MAX);
        let number = {
            let mut state = self.state();
            if state.ended.is_some() {
                return None;
            }
            state.used = Instant::now();
            state.posted += 1;
            let number = state.posted;
            state.posts.push(Post {
                number,
                ids,
                tokens,
                to,
            });
            number
        };
        self.tell(message).await.then_some((number, lines))
    }

    /// Sends a message. Returns false once it has ended.
    pub(super) async fn tell(&self, message: &[u8]) -> bool {
        let mut line = one_line(message).into_owned();
        line.push(b'\n');
        self.state().used = Instant::now();
        tokio::select! {
            sent = self.to.send(line) => sent.is_ok() && self.ended().is_none(),
            () = self.stop.cancelled() => false,
        }
    }

    /// Waits no longer for what was asked.
    pub(super) fn forget(&self, number: u64) {
        self.state().posts.retain(|post| post.number != number);
        self.freed.notify_one();
    }

    /// Listens for what is no reply; who listened before does no longer.
    pub(super) fn listen(&self) -> mpsc::Receiver<String> {
        let (to, lines) = mpsc::channel(HELD_MAX);
        let mut state = self.state();
        for line in std::mem::take(&mut state.held) {
            let _ = to.try_send(line);
        }
        let dropped = std::mem::take(&mut state.dropped);
        if dropped > 0 {
            info!(server = %self.server, dropped, "somebody listens to a program again");
        }
        state.listener = state.ended.is_none().then_some(to);
        lines
    }

    /// Returns how it ended, if it has.
    pub(super) fn ended(&self) -> Option<String> {
        self.state().ended.clone()
    }

    /// Returns whether it ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.state().answered
    }

    /// Returns whether one of these requests is under way.
    pub(super) fn has(&self, ids: &[Id<'_>], tokens: &[Id<'_>]) -> bool {
        self.state().posts.iter().any(|post| {
            post.ids.iter().any(|id| ids.contains(id))
                || post.tokens.iter().any(|token| tokens.contains(token))
        })
    }

    /// Returns when it was last used.
    pub(super) fn used(&self) -> Instant {
        self.state().used
    }

    fn is_idle(&self, idle: Duration) -> bool {
        let mut state = self.state();
        let listened = state.listener.as_ref().is_some_and(|to| !to.is_closed());
        if !listened {
            state.listener = None;
        }
        !listened && state.posts.is_empty() && is_idle(state.used, idle, Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whom a line is for that is no reply.
    fn for_whom(&mut self, token: Option<&Id<'_>>) -> Option<mpsc::Sender<String>> {
        if let Some(token) = token {
            let given = |post: &&Post| post.tokens.iter().any(|given| given == token);
            if let Some(post) = self.posts.iter().find(given) {
                return Some(post.to.clone());
            }
        }
        if let [post] = &self.posts[..] {
            return Some(post.to.clone());
        }
        if self.listener.as_ref().is_some_and(mpsc::Sender::is_closed) {
            self.listener = None;
        }
        let newest = self.posts.iter().max_by_key(|post| post.number);
        self.listener
            .clone()
            .or_else(|| newest.map(|post| post.to.clone()))
    }

    fn hold(&mut self, line: String) {
        if self.held.len() >= HELD_MAX {
            self.held.pop_front();
            self.dropped += 1;
            metrics::counter!("rescind_mcp_lines_dropped_total").increment(1);
        }
        self.held.push_back(line);
    }
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Ends a program whose input is closed: waits, tells it to, and at last kills it. Returns how it
/// ended.
async fn end(mut process: Process) -> String {
    let group = process
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    for signal in [Signal::TERM, Signal::KILL] {
        if let Ok(Ok(status)) = timeout(PATIENCE, process.wait()).await {
            return format!("the program ended ({status})");
        }
        if let Some(group) = group {
            let _ = kill_process_group(group, signal);
        }
    }
    match process.wait().await {
        Ok(status) => format!("the program was killed ({status})"),
        Err(error) => format!("the program was killed ({error})"),
    }
}
