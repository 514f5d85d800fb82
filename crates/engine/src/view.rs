//! What the engine answers, as plain data: the objects that `--json` prints and the API returns.
//!
//! Their JSON Schemas are generated into `docs/reference`, so a change here is a change of the
//! documented interface.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::undo::view::RollbackRow;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// What its source calls it.
    pub external: Option<String>,
    /// Its title, where its source has one and it can be read.
    pub title: Option<String>,
    /// The format that it was imported as; absent for runs that we carried ourselves.
    pub format: Option<String>,
    /// The part of the file that it was, as a JSON Pointer or a line.
    pub part: Option<String>,
    /// When the record learned of it (RFC 3339).
    pub recorded: String,
    /// False where an import was broken off; importing the file again completes it.
    pub whole: bool,
    /// The agents that decided in it, by name.
    pub agents: Vec<String>,
    /// How many decisions it has.
    pub decisions: u64,
    /// Decisions by status.
    pub statuses: BTreeMap<String, u64>,
    /// The default subject of its payloads, as `erase` takes it.
    pub subject: String,
}

/// A list of runs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunsView {
    /// The runs, newest first.
    pub runs: Vec<RunView>,
    /// How many were passed over before the first.
    pub skipped: u64,
    /// Whether there are more.
    pub more: bool,
}

/// A part of a run's decisions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StepsView {
    /// The run.
    pub run: String,
    /// Its decisions, in the order of the log.
    pub steps: Vec<NodeView>,
    /// How many were passed over before the first: it is the decision `RUN:N` with N one more.
    pub skipped: u64,
    /// Whether there are more.
    pub more: bool,
}

/// One decision, short.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    /// Its id.
    pub id: String,
    /// The run it belongs to.
    pub run: String,
    /// Who decided.
    pub agent: String,
    /// What kind of decision.
    pub kind: String,
    /// The tool, model or step that it names.
    pub name: Option<String>,
    /// Where it stands.
    pub status: String,
    /// Whether it was observed, reported or reconstructed.
    pub known: String,
    /// When the source says it began (RFC 3339).
    pub started: Option<String>,
    /// Its place in the log.
    pub index: u64,
    /// The beginning of what it says, where that can be read.
    pub summary: Option<String>,
}

/// One edge of the decision graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EdgeView {
    /// The decision depended on.
    pub cause: String,
    /// The decision that depends.
    pub effect: String,
    /// In what way: call, result, context, message, value, read, parent, policy, approval.
    pub kind: String,
    /// `certain` or `possible`.
    pub strength: String,
}

/// A decision graph.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GraphView {
    /// The run or decision asked about.
    pub of: String,
    /// Whether it is a run from its beginning: then the N-th node is `RUN:N`.
    pub whole_run: bool,
    /// The decisions, causes before effects.
    pub nodes: Vec<NodeView>,
    /// The edges between them.
    pub edges: Vec<EdgeView>,
    /// Whether the graph was cut at the limit.
    pub cut: bool,
}

/// One decision, whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DecisionView {
    /// The decision, short.
    #[serde(flatten)]
    pub node: NodeView,
    /// Version of the agent.
    pub agent_version: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// When the source says it ended (RFC 3339).
    pub ended: Option<String>,
    /// Where in its source it lies, if it was imported.
    pub source: Option<String>,
    /// What it depends on.
    pub causes: Vec<CauseView>,
    /// What depends on it directly.
    pub effects: Vec<EdgeView>,
    /// The policy it was judged by.
    pub policy: Option<PolicyView>,
    /// Digest of its environment snapshot.
    pub environment: Option<String>,
    /// Who allowed or refused it.
    pub approvals: Vec<ApprovalView>,
    /// The server that has the tool which it called, where it is known.
    pub server: Option<String>,
    /// How its effect can be taken back: `read`, `idempotent`, `bufferable`, `reversible`,
    /// `compensable`, `irreversible`, `unreviewed`; none if it has none.
    pub class: Option<String>,
    /// Who said so: `catalogue`, `metadata` or `annotations` of the server, `nobody`; none where
    /// that was not recorded.
    pub class_by: Option<String>,
    /// What it did to the world.
    pub writes: Vec<String>,
    /// What it read.
    pub reads: Vec<String>,
    /// For an imported decision: what is known of each field.
    pub account: Option<AccountView>,
    /// Its contents.
    pub contents: Vec<ContentView>,
    /// Its events in the log.
    pub events: Vec<MarkView>,
}

/// One cause, with how it is known.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CauseView {
    /// The decision depended on.
    pub decision: String,
    /// Who decided it.
    pub agent: Option<String>,
    /// In what way.
    pub kind: String,
    /// `certain` or `possible`.
    pub strength: String,
    /// How it is known, in words.
    pub evidence: String,
}

/// A policy as it was used.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    /// Its name.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Digest of its text.
    pub digest: String,
    /// What it said.
    pub verdict: String,
    /// What was done.
    pub enforced: String,
}

/// An approval or a rejection.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalView {
    /// Who.
    pub by: String,
    /// Digest of what they saw.
    pub shown: String,
}

/// What waits for a person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalsView {
    /// The calls that wait, and those that were approved and have not begun, oldest first.
    pub approvals: Vec<HeldView>,
}

/// A call that waits for a person, or was approved and has not begun.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HeldView {
    /// The decision.
    pub decision: String,
    /// Its run.
    pub run: String,
    /// Who wants to make the call.
    pub agent: String,
    /// The server that has the tool.
    pub server: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The arguments, where they can be read.
    pub arguments: Option<String>,
    /// How its effect can be taken back, as far as is known.
    pub class: Option<String>,
    /// The rule that holds it.
    pub rule: String,
    /// `held` or `approved`.
    pub status: String,
    /// Digest of the exact call: who approves sends back the one that they saw.
    pub call: String,
    /// Whose token the call came with, where it had one.
    pub asker: Option<String>,
    /// Since when it waits (RFC 3339).
    pub since: String,
    /// Until when it waits, or its approval is good (RFC 3339).
    pub until: String,
    /// Who approved it.
    pub approved_by: Option<String>,
}

/// A verdict on a call that waited.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RuledView {
    /// The decision.
    pub decision: String,
    /// `approved` or `rejected`.
    pub verdict: String,
    /// Who decided.
    pub by: String,
    /// Digest of the exact call.
    pub call: String,
    /// Until when the call may begin (RFC 3339); none of a rejection.
    pub until: Option<String>,
    /// Index of the entry that records it.
    pub index: u64,
}

/// What is known of each field of an imported decision.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountView {
    /// Fields known.
    pub known: Vec<String>,
    /// Fields known in part.
    pub partly: Vec<String>,
    /// Fields that the source cannot tell.
    pub unknowable: Vec<String>,
}

/// One field of content.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ContentView {
    /// What it is: asked, chosen, reasoning, result, sent, options, environment, comment, source.
    pub field: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// `kept`, `erased` (its key was destroyed, and the log says so) or `missing`.
    pub state: String,
    /// The content, where it is kept.
    pub text: Option<String>,
}

/// One event of a decision.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MarkView {
    /// Its place in the log.
    pub index: u64,
    /// Its id.
    pub id: String,
    /// What it says.
    pub what: String,
    /// When the record learned it (RFC 3339).
    pub at: String,
}

/// What followed from a decision.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BlastView {
    /// The decision asked about.
    pub of: NodeView,
    /// What demonstrably depends on it, nearest first.
    pub certain: Vec<ReachedView>,
    /// What could depend on it, nearest first.
    pub possible: Vec<ReachedView>,
    /// What was done about it, nearest first: rollbacks with their steps and calls, histories that
    /// were repaired, targets that were left alone. None of it would be taken back.
    #[serde(default)]
    pub recovery: Vec<ReachedView>,
    /// The rollbacks among that, and where they stand.
    #[serde(default)]
    pub rollbacks: Vec<RollbackRow>,
    /// Agents in either ring, by name.
    pub agents: Vec<String>,
    /// Whether a list was cut at the limit.
    pub cut: bool,
}

/// One decision in a blast radius.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReachedView {
    /// The decision.
    #[serde(flatten)]
    pub node: NodeView,
    /// How many edges away.
    pub distance: u32,
    /// An edge that reaches it from nearer by.
    pub via: Option<EdgeView>,
}

/// What the agents of a run believe, and what their models are sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ContextView {
    /// The run.
    pub run: String,
    /// Each agent that asked a model, in the order of their names.
    pub agents: Vec<AgentContextView>,
}

/// What one agent believes: the history that it sent last, and what came back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AgentContextView {
    /// The agent.
    pub agent: String,
    /// Its last call of a model.
    pub decision: String,
    /// The wire: `chat`, `responses` or `messages`; absent where the history cannot be read.
    pub api: Option<String>,
    /// Whether something is taken out of it before it is sent.
    pub repaired: bool,
    /// The history, item by item.
    pub items: Vec<ContextItemView>,
}

/// One item of a history.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ContextItemView {
    /// Where it stands in the request, as a JSON Pointer; `answer` for what came back.
    pub at: String,
    /// Whose it is, in the word of the wire.
    pub role: String,
    /// What the agent has there.
    pub believes: String,
    /// What a model is sent in its place; absent where it is sent as it is.
    pub sent: Option<String>,
    /// What was taken out of it.
    pub replaced: Vec<ReplacedView>,
}

/// Something that is taken out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplacedView {
    /// The rescinded decision that it came from.
    pub decision: String,
    /// What it is: `message`, `arguments`, `result` or `passage`.
    pub what: String,
    /// What is said in its place.
    pub by: String,
}

/// The checkpoints of a run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointsView {
    /// The run.
    pub run: String,
    /// The agents that remember what was rescinded and have not gone back since.
    pub awaits: Vec<AwaitsView>,
    /// The checkpoints, newest first, without their states.
    pub checkpoints: Vec<CheckpointView>,
}

/// An agent that has to go back to an earlier state, and asks for it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AwaitsView {
    /// The agent.
    pub agent: String,
    /// The checkpoint whose state awaits it; absent where none is free of what was rescinded, and
    /// an empty one awaits it.
    pub checkpoint: Option<String>,
    /// What to ask, with its name as `agent`.
    pub ask: String,
}

/// A state that an agent saved.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointView {
    /// The decision that saved it.
    pub id: String,
    /// The run.
    pub run: String,
    /// Whose state it is.
    pub agent: String,
    /// When it was recorded.
    pub recorded: String,
    /// Where the decision stands; `invalidated` if it was rescinded.
    pub status: String,
    /// Whether it is on the recovery line: the agent's latest that remembers nothing rescinded.
    pub line: bool,
    /// What the agent has to ask for, because it remembers what was rescinded; absent where it need
    /// not go back. A list tells it of all agents together.
    pub awaits: Option<AwaitsView>,
    /// The policy that its agent was judged by then, with its version.
    pub policy: Option<String>,
    /// The decisions that it depends on.
    pub causes: Vec<String>,
    /// What of it survives a restore of an earlier state, as JSON Pointers.
    pub keep: Vec<String>,
    /// What belongs to it elsewhere, by name.
    pub external: BTreeMap<String, String>,
    /// What became of the state: `kept`, `erased`, `damaged` or `missing`.
    pub content: String,
    /// The state; absent in a list, and where it cannot be read.
    pub state: Option<serde_json::Value>,
}

/// What an agent was given back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RestoredView {
    /// The run.
    pub run: String,
    /// The agent.
    pub agent: String,
    /// The decision that the restore is.
    pub decision: String,
    /// The checkpoint that the state is of; absent where none of them is free of what was
    /// rescinded, and the state is empty but for what is kept.
    pub checkpoint: Option<String>,
    /// The newest checkpoint, from which what is to be kept is taken.
    pub newest: String,
    /// Checkpoints that remember what was rescinded, newest first.
    pub passed_over: Vec<String>,
    /// The state.
    pub state: serde_json::Value,
    /// What of it was kept, as JSON Pointers.
    pub kept: Vec<String>,
    /// What belongs to it elsewhere, by name, as it was then.
    pub external: BTreeMap<String, String>,
    /// What the agent did since and still stands, oldest first: the same calls are answered from
    /// the record, once each.
    pub replays: Vec<String>,
    /// Whether they are made anew instead.
    pub forks: bool,
}

/// Why one decision depends on another.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WhyView {
    /// The earlier decision.
    pub from: NodeView,
    /// The later decision.
    pub to: NodeView,
    /// Whether there is a chain at all.
    pub depends: bool,
    /// `certain` if every link is, else `possible`; absent where there is no chain.
    pub strength: Option<String>,
    /// The links, from the earlier decision to the later one.
    pub chain: Vec<LinkView>,
}

/// One link of a chain.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LinkView {
    /// The edge.
    #[serde(flatten)]
    pub edge: EdgeView,
    /// How it is known, in words.
    pub evidence: String,
    /// What was carried over, where that can still be read.
    pub carried: Option<String>,
    /// The decision that depends, short.
    pub node: NodeView,
}

/// The tools that were called, that the catalogue names, or that servers list.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToolsView {
    /// The tools, by server and name.
    pub tools: Vec<ToolView>,
    /// What in the catalogue does not fit what servers list, as far as they were asked.
    pub misfits: Vec<MisfitView>,
    /// Whether more were called.
    pub more: bool,
}

/// A tool.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToolView {
    /// The server that has it; absent where neither the record nor the catalogue says which.
    pub server: Option<String>,
    /// Its name.
    pub name: String,
    /// How a call of it can be taken back: `read`, `idempotent`, `bufferable`, `reversible`,
    /// `compensable`, `irreversible`, `unreviewed`.
    pub class: String,
    /// Who says so: the operator's `catalogue`, the server's `metadata` of compensation or its
    /// `annotations`, or `nobody`.
    pub class_by: String,
    /// The ways back that a plan tries, the first one first; none of a tool that only reads or
    /// cannot be taken back.
    pub undo: Vec<WayView>,
    /// The tool that tells whether a call of it happened.
    pub probe: Option<String>,
    /// Where the idempotency key of a call goes: a JSON Pointer into the arguments, or `_meta.NAME`.
    pub key: Option<String>,
    /// Who must be told if a call of it stands.
    pub tell: Vec<String>,
    /// How many calls of it are in the record.
    pub calls: u64,
    /// When the last of them was recorded (RFC 3339).
    pub last: Option<String>,
    /// Whether its server lists it; absent where the server was not asked.
    pub listed: Option<bool>,
}

impl ToolView {
    /// Whether a call of it may change something that nothing takes back.
    #[must_use]
    pub fn has_no_undo(&self) -> bool {
        self.undo.is_empty() && self.class != "read"
    }
}

/// A way back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WayView {
    /// `restore` (its records are put back), `tool` (its inverse is called), `http`.
    pub way: String,
    /// The tool that is called, or the method.
    pub tool: Option<String>,
    /// Who says so: `catalogue` or `metadata`.
    pub by: String,
}

/// Something in the catalogue that does not fit what a server lists.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MisfitView {
    /// The server.
    pub server: String,
    /// The line of the catalogue, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The option.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// What an import did.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImportView {
    /// The runs of the file.
    pub runs: Vec<ImportedRunView>,
    /// Decisions that are new in the record.
    pub decisions: u64,
    /// Edges that are new in the record.
    pub edges: u64,
    /// Calls without a result, marked unknown.
    pub orphans: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Leaves in the log afterwards.
    pub size: u64,
    /// Root hash of the log afterwards, base64.
    pub root: String,
}

/// What an import did with one run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImportedRunView {
    /// Its id in the record.
    pub id: String,
    /// What its source calls it.
    pub external: Option<String>,
    /// Where in the file it lies.
    pub part: String,
    /// Its agents, by name.
    pub agents: Vec<String>,
    /// Its decisions.
    pub decisions: u64,
    /// Its edges.
    pub edges: u64,
    /// Calls without a result.
    pub orphans: u64,
    /// Whether all of it was in the record already.
    pub already: bool,
}

/// What an erasure did.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EraseView {
    /// The subject whose key was destroyed.
    pub subject: String,
    /// Events whose contents are gone.
    pub events: u64,
    /// Index of the erasure's own entry in the log.
    pub index: u64,
    /// Whether the subject had been erased before; then nothing was done.
    pub already: bool,
}

/// Something that happened: one event of the record.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewsView {
    /// Its place in the log.
    pub seq: u64,
    /// When the record learned it (RFC 3339).
    pub at: String,
    /// What it says: `proposed`, `started`, `finished`, `reconstructed`, and so on.
    pub what: String,
    /// The run that it belongs to.
    pub run: Option<String>,
    /// The decision that it is about.
    pub decision: Option<String>,
    /// Who decides.
    pub agent: Option<String>,
    /// What kind of decision.
    pub kind: Option<String>,
    /// The tool, model or step that it names.
    pub name: Option<String>,
    /// Where it leaves the decision, if it moves it.
    pub status: Option<String>,
}

/// Whether the store takes what is recorded now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReadyView {
    /// Whether it does.
    pub ready: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
}

/// What `verify` answers of a data directory or a published log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedView {
    /// Whether everything that was checked is as it was written.
    pub intact: bool,
    /// The first entry that cannot be relied on.
    pub first_bad: Option<u64>,
    /// The log's origin.
    pub origin: String,
    /// Entries under the checkpoint.
    pub size: u64,
    /// Root hash under the checkpoint, hexadecimal.
    pub root: Option<String>,
    /// Whether every byte was checked.
    pub full: bool,
    /// Whether the keys were those found beside the log; then it shows only that the log agrees
    /// with itself and with its witness.
    pub own_keys: bool,
    /// What is not as it was written.
    pub findings: Vec<FindingView>,
    /// What is worth knowing and is no damage.
    pub notices: Vec<String>,
    /// How much was checked.
    pub checked: CheckedView,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FindingView {
    /// The first entry that it makes doubtful.
    pub first_bad: Option<u64>,
    /// The file that shows it.
    pub file: Option<PathBuf>,
    /// In words.
    pub detail: String,
}

/// How much was checked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckedView {
    /// Entries whose hash was recomputed.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Payloads whose digest was recomputed.
    pub payloads: u64,
    /// Payloads that are erased, with proof.
    pub erased: u64,
    /// Rows of the index that were compared.
    pub rows: u64,
}
