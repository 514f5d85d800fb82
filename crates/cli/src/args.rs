//! The command line: what can be said, with examples.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use recover::plan::Rule;
use wire::import::Format;

use crate::config::Role;

/// Undo for multi-agent AI systems: a tamper-evident record of what agents decided, and what
/// followed from it.
#[derive(Debug, Parser)]
#[command(
    name = "rescind",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done or intact, 1 no or tampered, 2 could not.\n\n\
    A run or decision is named by its id, or the beginning or end of it (four characters or\n\
    more); `latest` is the newest run, and RUN:N the N-th decision of a run, as `graph` and\n\
    `show` number them: `rescind blast latest:9`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Configuration [default: `rescind.toml` in the working directory, if it is there]
    #[arg(long, global = true, env = "RESCIND_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the record [default: `data_dir` of the configuration, or rescind-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Ask a running server instead of the files: runs, show, graph, blast, why, context, checkpoints,
    /// verify, prove, tools, approvals, approve, reject, rollback, rollbacks, quarantine, release. Its
    /// token, where it wants one, is taken from RESCIND_TOKEN
    #[arg(long, global = true, env = "RESCIND_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Print one JSON object on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The log to use, the unit of isolation [default: `realm` of the configuration, or default]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) realm: Option<String>,
    /// Where the witness keeps what it has signed, away from the record [default: `witness_dir`
    /// of the configuration, or the state directory of this user]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) witness_dir: Option<PathBuf>,
    /// Work without a witness: an older copy of the whole directory then looks like the newest
    #[arg(long, global = true)]
    pub(crate) no_witness: bool,
    /// No notes and no progress on standard error
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// Where standard output is a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Carry agents' calls and record them: gateway, API and log in one process
    Up(Up),
    /// Watch the whole story: agents at work, a wrong decision, and the way back; needs no key and
    /// no network
    Demo(Demo),
    /// Take recorded runs from elsewhere into the record, marked reconstructed
    Import(Import),
    /// List the runs, newest first
    Runs(Runs),
    /// Show a run, or everything about a decision
    Show(Show),
    /// Draw the decision graph of a run, or around a decision
    Graph(Graph),
    /// Show what followed from a decision: certainly, and possibly
    Blast(Blast),
    /// Show why one decision depends on another, with the evidence
    Why(Why),
    /// List the calls that wait for a person, and those approved that have not begun
    #[command(after_help = "Examples:\n  rescind approvals\n  \
        rescind approvals --url http://127.0.0.1:7373")]
    Approvals,
    /// Approve a call that waits: exactly this one, once
    Approve(Approve),
    /// Reject a call that waits; its agent is told why
    Reject(Reject),
    /// Take decisions back, with everything that followed from them
    Rollback(Rollback),
    /// List the rollbacks, newest first
    #[command(after_help = "Examples:\n  rescind rollbacks\n  \
        rescind rollbacks --url http://127.0.0.1:7373")]
    Rollbacks,
    /// Hold an agent, so that its calls are refused, or list those that are held
    Quarantine(Quarantine),
    /// Release an agent that is held
    Release(Release),
    /// List the tools, how a call of each is taken back, and who says so
    Tools(Tools),
    /// Show what the agents of a run believe, and what their models are sent
    Context(Context),
    /// List the states that the agents of a run saved, and which they go back to
    Checkpoints(Checkpoints),
    /// Check that nothing was changed: a data directory, a log, or an evidence bundle
    Verify(Verify),
    /// Write evidence of one decision that verifies offline
    Prove(Prove),
    /// Rebuild every projection from the log
    #[command(after_help = "Example:\n  rescind reindex --data-dir /backup/rescind-data")]
    Reindex,
    /// Erase contents by destroying their key; the log stays valid and says so
    Erase(Erase),
    /// Set how long contents are kept at the least, or place a legal hold
    Retain(Retain),
    /// Show the public keys of the log, or change to a new one
    Keys(Keys),
    /// Begin a new log that continues one which was damaged, or put back from an older copy
    Continue(Continue),
    /// Check or show the configuration, or make a token for it
    Config(Config),
    /// Write the reference documents
    #[command(hide = true)]
    Reference,
    /// The tool server of the demo, over standard input and output
    #[command(hide = true)]
    ServiceDesk(ServiceDesk),
}

impl Command {
    /// Whether a running server can be asked instead of the files.
    pub(crate) const fn can_ask(&self) -> bool {
        matches!(
            self,
            Self::Runs(_)
                | Self::Show(_)
                | Self::Graph(_)
                | Self::Blast(_)
                | Self::Why(_)
                | Self::Tools(_)
                | Self::Context(_)
                | Self::Checkpoints(_)
                | Self::Verify(_)
                | Self::Prove(_)
                | Self::Approvals
                | Self::Approve(_)
                | Self::Reject(_)
                | Self::Rollback(_)
                | Self::Rollbacks
                | Self::Quarantine(_)
                | Self::Release(_)
        )
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind up\n  \
    rescind up --listen 127.0.0.1:8080 --config rescind.toml\n\n\
    Agents then call `http://127.0.0.1:7373/agents/NAME/openai/v1` instead of the provider, with\n\
    their own keys, which pass through and are never recorded. The first SIGINT or SIGTERM ends\n\
    what is under way, the second does not wait for it.")]
pub(crate) struct Up {
    /// Where to listen, instead of `listen` in the configuration
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind demo\n  \
    rescind demo --exit --json --data-dir demo-data\n\n\
    Without `--data-dir` the record goes to a new directory among the temporary files. What the\n\
    agents' model says is played back; the gateway, the record, the tool server, its database and\n\
    the rollback are real. Afterwards server and tools go on for looking around, until a signal.\n\
    Exits with 1 if something did not come out as the story says.")]
pub(crate) struct Demo {
    /// End after the story
    #[arg(long)]
    pub(crate) exit: bool,
    /// Where to listen [default: 127.0.0.1 on a free port]
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        hide_default_value = true
    )]
    pub(crate) listen: String,
}

#[derive(Debug, Args)]
pub(crate) struct ServiceDesk {
    /// The database
    #[arg(long, value_name = "FILE")]
    pub(crate) database: PathBuf,
    /// Offer the tools of operators
    #[arg(long)]
    pub(crate) operator: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rescind import chat.json --format openai-chat\n  \
    rescind import runs.json --format openai-chat --pointer /0/traj\n  \
    rescind import trace.json --format langfuse\n\n\
    A file goes in whole or not at all. Importing it again adds nothing; an import that was\n\
    broken off is completed by importing the file again.")]
pub(crate) struct Import {
    /// Files to import; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the files are: openai-chat, atif, otlp-json, who-and-when, langfuse
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// JSON Pointer to the part to import; of JSON Lines, it applies to each line
    #[arg(long, value_name = "POINTER")]
    pub(crate) pointer: Option<String>,
    /// Name of the agent, where the format does not say it
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rescind runs --limit 20")]
pub(crate) struct Runs {
    /// How many at the most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u64,
    /// How many to pass over
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) skip: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind show 8f3a20c41d\n  \
    rescind show 8f3a20c41d --against 77e1b0d2aa")]
pub(crate) struct Show {
    /// A run or a decision
    pub(crate) id: String,
    /// Another decision: show how the environments of the two differ
    #[arg(long, value_name = "ID")]
    pub(crate) against: Option<String>,
    /// How many decisions of a run at the most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind graph 8f3a20c41d\n  \
    rescind graph 8f3a20c41d --format dot | dot -Tpdf -o graph.pdf\n  \
    rescind graph 8f3a20c41d --format svg > graph.svg")]
pub(crate) struct Graph {
    /// A run or a decision
    pub(crate) id: String,
    /// How to draw it
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    pub(crate) format: GraphFormat,
    /// How many decisions at the most
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) limit: usize,
}

/// How to draw a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Lines for the terminal
    Tree,
    /// The language of Graphviz
    Dot,
    /// A picture: a lane for each agent
    Svg,
    /// The same object as `--json`
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rescind blast 8f3a20c41d")]
pub(crate) struct Blast {
    /// The decision
    pub(crate) id: String,
    /// How many decisions in each ring at the most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rescind why 8f3a20c41d 77e1b0d2aa\n\n\
    Exits with 1 if the later decision does not depend on the earlier one.")]
pub(crate) struct Why {
    /// The earlier decision
    pub(crate) earlier: String,
    /// The later decision, which may depend on it
    pub(crate) later: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind approve 8f3a20c41d\n  \
    rescind approve 8f3a20c41d --by grace --reason 'the customer called'\n\n\
    Told to the server that has the record open, so that the call goes on at once. Without one the\n\
    approval is recorded, and found when a server starts. Where tokens are configured, the name of\n\
    the token stands in the record, and who asked for a call cannot approve it.")]
pub(crate) struct Approve {
    /// The decision that waits
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    rescind reject 8f3a20c41d --reason 'the price is wrong, ask the customer again'")]
pub(crate) struct Reject {
    /// The decision that waits
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) verdict: Verdict,
}

/// What a person says about a call that waits.
#[derive(Debug, Args)]
pub(crate) struct Verdict {
    /// Who decides, where no token says it; recorded [default: operator]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Why; recorded sealed, and told to the agent
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:\n  rescind rollback 8f3a20c41d --dry-run\n  \
    rescind rollback 8f3a20c41d --reason 'misread the returns policy'\n  \
    rescind rollback 8f3a20c41d --include all --yes\n  \
    rescind rollback diff 77e1b0d2aa 9c02d41f77\n  rescind rollback retry 77e1b0d2aa\n\n\
    Works through the server that `--url` names; else on the files, or through the server that\n\
    has them open. Exits with 0 if everything came to what the plan says, 1 if something failed\n\
    or nobody knows, 2 if it could not begin.")]
pub(crate) struct Rollback {
    /// The bad decisions
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Why they are bad; recorded, so keep it free of personal data
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// Also take back decisions that may depend on them: their ids, or `all`
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(crate) include: Vec<String>,
    /// What becomes of a record that somebody else wrote since: `keep-newer` or `restore-field`; goes
    /// before the tool catalogue
    #[arg(long, value_name = "URI=RULE", value_parser = settled)]
    pub(crate) settle: Vec<(String, Rule)>,
    /// Show the plan and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Carry the plan out if it has this digest, and do not ask
    #[arg(long, value_name = "DIGEST", conflicts_with = "yes")]
    pub(crate) digest: Option<String>,
    /// Who decides it; recorded
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) by: String,
    #[command(subcommand)]
    pub(crate) action: Option<RollbackAction>,
}

fn settled(text: &str) -> Result<(String, Rule), String> {
    let known = Rule::of_record(text).map(|(uri, rule)| (uri.to_owned(), rule));
    known.ok_or_else(|| "say `URI=keep-newer` or `URI=restore-field`".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum RollbackAction {
    /// Show a rollback: its plan, and what came of it
    #[command(after_help = "Example:\n  rescind rollback show 77e1b0d2aa")]
    Show {
        /// The rollback
        id: String,
    },
    /// Show what the plans of two rollbacks have not in common; exits with 1 if there is anything
    #[command(after_help = "Example:\n  rescind rollback diff 77e1b0d2aa 9c02d41f77")]
    Diff {
        /// The first rollback
        from: String,
        /// The second
        to: String,
    },
    /// Approve a plan that was put forward, and carry it out
    #[command(after_help = "Example:\n  \
        rescind rollback approve 77e1b0d2aa --digest 3f9c… --by grace")]
    Approve {
        /// The rollback
        id: String,
        /// Digest of the plan that you saw
        #[arg(long, value_name = "DIGEST")]
        digest: String,
        /// Who approves it; recorded
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
    },
    /// Refuse a plan that was put forward
    #[command(after_help = "Example:\n  rescind rollback reject 77e1b0d2aa --by grace")]
    Reject {
        /// The rollback
        id: String,
        /// Who refuses it; recorded
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
    },
    /// Try again what failed, or go on with what was broken off; what is done is not done again
    #[command(after_help = "Examples:\n  rescind rollback retry 77e1b0d2aa\n  \
        rescind rollback retry 77e1b0d2aa --happened 4 --not-happened 6,7")]
    Retry {
        /// The rollback
        id: String,
        /// Who wants it; recorded
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
        /// Numbers of steps, parked or broken off, that were carried out, as somebody found out
        #[arg(long, value_name = "N", value_delimiter = ',')]
        happened: Vec<u32>,
        /// Numbers of steps, parked or broken off, that were not carried out
        #[arg(long, value_name = "N", value_delimiter = ',')]
        not_happened: Vec<u32>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind quarantine\n  rescind quarantine billing")]
pub(crate) struct Quarantine {
    /// The agent; without one, those that are held are listed
    pub(crate) agent: Option<String>,
    /// Who decides it; recorded
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rescind release billing")]
pub(crate) struct Release {
    /// The agent
    pub(crate) agent: String,
    /// Who decides it; recorded
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  rescind tools\n  rescind tools --no-undo --server desk\n  \
    rescind tools suggest > drafts.toml\n\n\
    Tools are those that were called, those that the catalogue (`tools` in rescind.toml) names and,\n\
    with `--url`, those that servers list. The catalogue's word goes before the server's."
)]
pub(crate) struct Tools {
    /// Only those of which a call may change something that nothing takes back
    #[arg(long)]
    pub(crate) no_undo: bool,
    /// Only those of one server
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    #[command(subcommand)]
    pub(crate) action: Option<ToolsAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsAction {
    /// Draft entries of the catalogue from calls that were seen, for you to judge
    #[command(
        after_help = "Example:\n  rescind tools suggest --out drafts.toml --server desk\n\n\
        What comes out are comments: nothing holds until you have read it and taken the marks\n\
        away. Values of calls are compared and never written."
    )]
    Suggest(ToolsSuggest),
}

#[derive(Debug, Args)]
pub(crate) struct ToolsSuggest {
    /// The file to write, which must not exist [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The server of calls that do not say theirs [default: the only one in rescind.toml]
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// How many calls of the newest runs are looked at
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub(crate) calls: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind context latest\n  \
    rescind context 8f3a20c41d --all --url http://127.0.0.1:7373\n\n\
    An item is what the agent sends with its next request. What was rescinded goes to no model\n\
    again: a correction takes its place on the way, and the agent's own process need not know.")]
pub(crate) struct Context {
    /// The run, or `latest`
    pub(crate) run: String,
    /// Show every item whole, also those that are sent as they are
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind checkpoints latest\n  \
    rescind checkpoints 8f3a20c41d --url http://127.0.0.1:7373\n\n\
    Agents save states with `PUT /api/v1/runs/RUN/checkpoints` and go back with\n\
    `POST /api/v1/runs/RUN/restore`: to the latest that remembers nothing rescinded.")]
pub(crate) struct Checkpoints {
    /// The run, or `latest`
    pub(crate) run: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rescind verify --full\n  \
    rescind verify /backup/rescind-data --full\n  \
    rescind verify evidence.json --key 'ledger.example/x+99489fed+AQOh…'\n  \
    rescind verify http://127.0.0.1:7373/log/default --full --key 'ledger.example/x+99489fed+AQOh…'\n\n\
    Exits with 0 if intact, 1 if tampered (and where), 2 if it could not check.")]
pub(crate) struct Verify {
    /// A data directory, a log directory, an evidence bundle, or the address of a published log,
    /// which is fetched and needs `--key` [default: the data directory]
    pub(crate) path: Option<PathBuf>,
    /// Check every byte: entries, tiles, payloads, index
    #[arg(long)]
    pub(crate) full: bool,
    /// A verifier key to trust, instead of those found beside the log; may be repeated
    #[arg(long = "key", value_name = "VKEY")]
    pub(crate) keys: Vec<String>,
    /// A checkpoint of the log that you kept: the log must have grown out of it; may be repeated
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rescind prove 8f3a20c41d -o evidence.json\n  \
    rescind prove 8f3a20c41d -o evidence.json --disclose asked,result --chain"
)]
pub(crate) struct Prove {
    /// The decision
    pub(crate) id: String,
    /// The file to write; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Contents to disclose: asked, chosen, reasoning, result, sent, options, comment, source, or all
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(crate) disclose: Vec<String>,
    /// Prove the whole chain of causes too, back to the first
    #[arg(long)]
    pub(crate) chain: bool,
    /// Overwrite the file
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    rescind erase 8f3a20c41d --basis 'GDPR Art. 17(1), request 2026-118' --before-minimum\n\n\
    The log keeps its entries and still verifies; `verify` tells erased from missing.")]
pub(crate) struct Erase {
    /// The subject whose contents to erase, or a run: its default subject
    pub(crate) id: String,
    /// On what legal basis; recorded, so keep it free of personal data
    #[arg(long, value_name = "TEXT")]
    pub(crate) basis: String,
    /// Who decided it; recorded
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) by: String,
    /// Erase what is younger than the retention minimum
    #[arg(long)]
    pub(crate) before_minimum: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rescind retain --days 365\n  rescind retain --hold 8f3a20c41d\n  \
    rescind retain --release 8f3a20c41d"
)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct Retain {
    /// Keep contents at least so many days
    #[arg(long, value_name = "DAYS", group = "what")]
    pub(crate) days: Option<u32>,
    /// Place a legal hold on a subject, or on a run's subject
    #[arg(long, value_name = "ID", group = "what")]
    pub(crate) hold: Option<String>,
    /// End a legal hold
    #[arg(long, value_name = "ID", group = "what")]
    pub(crate) release: Option<String>,
    /// Allow less than six months, which laws may forbid
    #[arg(long, requires = "days")]
    pub(crate) shorten: bool,
    /// Who decided it; recorded
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  rescind keys\n  rescind keys policy > trust.policy\n  \
    rescind keys rotate\n  rescind keys retire"
)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: Option<KeysAction>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Show the public keys (the default)
    List,
    /// Sign with a new key from here on, and record the change; the one before it signs too
    Rotate,
    /// End that: only the newest key signs from here on
    Retire,
    /// Print a trust policy for verifiers (C2SP tlog-policy)
    Policy,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mv rescind-data old\n  \
    rescind continue old/log/default/checkpoint\n\n\
    Give the newest checkpoint of the old log that is left anywhere: it is the first entry of the\n\
    new one. The old directory can still be looked into: `rescind runs --data-dir old`.")]
pub(crate) struct Continue {
    /// The last known checkpoint of the old log
    pub(crate) checkpoint: PathBuf,
    /// What the new log is called: a URL without scheme, unique in the world [default: a random
    /// name under rescind.invalid]
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Check everything that is known before `up` starts: names, values, files, programs, variables
    #[command(
        after_help = "Exits with 0 if `up` can start with it, 1 if it cannot, 2 if the file \
        could not be read.\n\nExamples:\n  rescind config check\n  rescind config check --live"
    )]
    Check(ConfigCheck),
    /// Show what holds, and where each value came from; secrets are not shown
    Show,
    /// Make a token, print it this once, and with it the section to add to the configuration
    Token(ConfigToken),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigCheck {
    /// Also ask the MCP servers for their tools: whether they answer, and whether the catalogue
    /// fits what they have. Programs among them are started, and end again
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rescind config token --name build-server --role agent")]
pub(crate) struct ConfigToken {
    /// Who or what will hold it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// What it may do
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
}
