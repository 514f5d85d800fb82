//! `rescind up`: gateway and server in one process, on one port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::access::{Access, Role, Token};
use engine::live::{
    ApprovalOptions, BreakerOptions, Durability, GuardOptions, InOutage, Mode, Options, Recorder,
    Redact,
};
use engine::undo::{CarryOptions, Catalogue, InFlight, Service as Rollbacks};
use engine::view::VerifiedView;
use gateway::{Gateway, Sockets};
use http::{HeaderName, HeaderValue, Uri};
use ledger::{Journal, Store as _};
use metrics_exporter_prometheus::PrometheusBuilder;
use model::Realm;
use schemars::JsonSchema;
use serde::Serialize;
use store::disk::{Disk as _, RealDisk};
use store::{EmbeddedStore, FileJournal};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use wire::redact::Redactor;

use super::beside::Beside;
use crate::Answer;
use crate::args::{Global, Up};
use crate::config::{self, Bodies, Config, Environment, Flag, OnOutage, Severity};
use crate::failure::Failure;
use crate::out::{self, Out};
use crate::session::{Session, read_config};

/// What makes an answer of a request.
type Answered = http::Response<gateway::Body>;

pub(crate) async fn run(out: &Out, global: &Global, args: &Up) -> Result<Answer, Failure> {
    let listen = args.listen.as_ref().map(|listen| Flag {
        option: "listen",
        name: "--listen",
        value: listen.clone(),
    });
    let own: Vec<Flag> = listen.into_iter().collect();
    crate::log::begin(out);
    started(out, global, &own).await?.run(out).await
}

/// Starts everything with the configuration as it is, or says all that is wrong with it.
pub(super) async fn started(out: &Out, global: &Global, own: &[Flag]) -> Result<Service, Failure> {
    let read = read_config(global, own)?;
    let findings = read.check();
    for finding in &findings {
        if finding.severity == Severity::Warning {
            out.note(&finding.to_string())?;
        }
    }
    let failures = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| {
            let hint = finding.hint.as_deref();
            Failure::new(finding.to_string())
                .with_hint(hint.unwrap_or("`rescind config check` lists everything that is wrong"))
        });
    let mut failures: Vec<Failure> = failures.collect();
    let last = failures.pop();
    for failure in failures {
        out::error(failure.message(), failure.hint());
    }
    let config = match (read.config(), last) {
        (Some(config), None) => config,
        (_, last) => {
            return Err(last.unwrap_or_else(|| Failure::new("the configuration cannot be used")));
        }
    };
    let session = Session::new(*out, global)?;
    Service::start(&session, config, &read.environment).await
}

/// Everything that runs.
pub(super) struct Service {
    listener: TcpListener,
    gateway: Gateway,
    server: axum::Router,
    recorder: Recorder,
    store: Arc<EmbeddedStore>,
    sockets: Sockets,
    patience: Duration,
    stopping: watch::Sender<bool>,
    beside: Beside,
}

/// What `up` answers as soon as it takes calls.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListeningView {
    /// Where it listens, as a URL.
    listening: String,
}

impl Service {
    async fn start(
        session: &Session,
        config: &Config,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        // The port first: who finds it taken has changed nothing.
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            Failure::new(format!("could not listen on {}: {error}", config.listen)).with_hint(
                match error.kind() {
                    std::io::ErrorKind::AddrInUse => {
                        "another process has that port; stop it, or choose another with `--listen 127.0.0.1:PORT`"
                    }
                    _ => "choose another address with `--listen` or `listen` in rescind.toml",
                },
            )
        })?;
        let metrics = PrometheusBuilder::new()
            .install_recorder()
            .map_err(|error| Failure::new(format!("could not set up metrics: {error}")))?;
        let (engine, store, journal) = open(session, config).await?;
        let access = access(config)?;
        let recorder = Recorder::start(engine.clone(), Some(journal), recording(config)?).await?;
        let options = carrying(config, environment)?;
        let catalogue = recorder.catalogue().cloned().unwrap_or_default();
        let gateway = Gateway::new(recorder.clone(), access.clone(), options)
            .map_err(|error| Failure::new(error.to_string()))?;
        let tasks = recorder.tasks().clone();
        let rollbacks = Rollbacks::new(engine.clone(), gateway.hands(), catalogue, tasks)
            .with_options(undoing(config));
        // What an earlier process did not end.
        rollbacks.resume();
        let (stopping, stopped) = watch::channel(false);
        let beside = Beside::start(recorder.tasks().clone())?;
        let server = server::Server::builder(engine)
            .recorder(recorder.clone())
            .realm(session.realm().clone())
            .access(access)
            .verifier(verifier(session))
            .metrics(metrics)
            .rollbacks(rollbacks)
            .stopping(stopped)
            .build()
            .fallback(nothing_there);
        Ok(Self {
            listener,
            gateway,
            server,
            recorder,
            store,
            sockets: Sockets {
                connections_max: size(config.limits.connections_max),
                header_bytes_max: size(config.limits.header_bytes_max),
            },
            patience: Duration::from_millis(config.timeouts.shutdown_ms),
            stopping,
            beside,
        })
    }

    async fn run(self, out: &Out) -> Result<Answer, Failure> {
        let address = self.address()?;
        // Before anybody learns that we are here: who starts us may tell us to stop at once.
        let signals = Signals::listen(CancellationToken::new())?;
        if out.json() {
            let listening = format!("http://{address}");
            out.text(&serde_json::to_string(&ListeningView { listening })?)?;
        } else {
            out.text(&format!(
                "rescind listens on http://{address}\n\n  \
                 OPENAI_BASE_URL=http://{address}/agents/NAME/openai/v1\n  \
                 ANTHROPIC_BASE_URL=http://{address}/agents/NAME/anthropic\n  \
                 the record: http://{address}/api/v1/runs\n"
            ))?;
        }
        self.serve(out, signals).await
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.listener.local_addr()?)
    }

    /// Answers until it is told to stop, and ends what is under way.
    pub(super) async fn serve(self, out: &Out, mut signals: Signals) -> Result<Answer, Failure> {
        let stop = CancellationToken::new();
        let (gateway, server) = (self.gateway, self.server);
        let carrying = gateway.clone();
        let beside = self.beside.threads();
        let answer = move |request: http::Request<hyper::body::Incoming>| {
            let (gateway, server, beside) = (gateway.clone(), server.clone(), beside.clone());
            async move {
                if gateway.takes(request.uri().path()) {
                    return gateway.handle(request).await;
                }
                let answering = server.oneshot(request.map(axum::body::Body::new));
                match beside.run(answering).await {
                    Ok(response) => response.map(|body| {
                        use http_body_util::BodyExt as _;
                        body.map_err(Into::into).boxed_unsync()
                    }) as Answered,
                    Err(never) => match never {},
                }
            }
        };
        let serving = gateway::serve(
            self.listener,
            answer,
            self.sockets,
            stop.clone(),
            self.patience,
        );
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            named = signals.stopped() => {
                if let Some(named) = named {
                    out.note(&format!("{named}: ending what is under way"))?;
                }
                stop.cancel();
                let _ = self.stopping.send(true);
                carrying.stop();
                // A second signal ends the wait; what is open then is unknown in the record.
                tokio::select! {
                    ended = &mut serving => ended,
                    _ = signals.stopped() => false,
                }
            }
        };
        let patience = if ended {
            self.patience
        } else {
            Duration::from_secs(1)
        };
        let open = self.recorder.stop(patience).await?;
        drop(self.recorder);
        if open > 0 {
            out.note(&format!(
                "{open} calls were still under way; they are unknown in the record"
            ))?;
        }
        self.store.close().await?;
        Ok(Answer::Yes)
    }
}

/// Answers who asks for a path that nothing is at.
async fn nothing_there() -> (http::StatusCode, axum::Json<serde_json::Value>) {
    let body = serde_json::json!({
        "error": "there is nothing at this path",
        "hint": "agents call `/agents/NAME/openai/v1/…` or `/agents/NAME/anthropic/v1/…`; the record is at `/api/v1/runs`",
        "code": "not-found",
    });
    (http::StatusCode::NOT_FOUND, axum::Json(body))
}

/// What ends the process: signals, or whoever started the service in it.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Cancelled by who has had enough; `None` once that was seen.
    done: Option<CancellationToken>,
}

impl Signals {
    /// Takes them from now on, in place of the system, which would end the process.
    pub(super) fn listen(done: CancellationToken) -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            done: Some(done),
        })
    }

    /// Waits for one, and names it if it came from outside.
    async fn stopped(&mut self) -> Option<&'static str> {
        let done = async {
            match &self.done {
                Some(done) => done.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Some("interrupted"),
            _ = self.terminate.recv() => Some("told to stop"),
            () = done => {
                self.done = None;
                None
            }
        }
    }
}

async fn open(
    session: &Session,
    config: &Config,
) -> Result<(Engine, Arc<EmbeddedStore>, Arc<dyn Journal>), Failure> {
    let (engine, store) = session.running().await?;
    let dir = journal_dir(session)?;
    let journal = FileJournal::open(Arc::new(RealDisk), &dir, config.record.spool_bytes_max)?;
    Ok((engine, store, Arc::new(journal)))
}

pub(crate) fn journal_dir(session: &Session) -> Result<PathBuf, Failure> {
    let above = session.data_dir().join("journal");
    RealDisk
        .create_dir(&above, true)
        .map_err(|error| Failure::file("create", &above, &error))?;
    Ok(above.join(session.realm().as_str()))
}

fn access(config: &Config) -> Result<Access, Failure> {
    let tokens: Result<Vec<Token>, Failure> = config
        .tokens
        .iter()
        .map(|token| {
            Ok(Token {
                name: token.name.clone(),
                role: match token.role {
                    config::Role::Agent => Role::Agent,
                    config::Role::Viewer => Role::Viewer,
                    config::Role::Operator => Role::Operator,
                },
                sha256: token
                    .digest()
                    .ok_or_else(|| Failure::new(format!("token `{}` has no digest", token.name)))?,
            })
        })
        .collect();
    Ok(Access::new(tokens?)
        .bound_to(config.listen.ip())
        .answering_to(config.allowed_hosts.clone()))
}

pub(crate) fn recording(config: &Config) -> Result<Options, Failure> {
    let record = &config.record;
    let outage = |on: OnOutage| match on {
        OnOutage::Block => InOutage::Block,
        OnOutage::Spool => InOutage::Spool,
    };
    let redact: Option<Redact> = match record.redact {
        false => None,
        true => {
            let redactor = Redactor::new(&record.redact_patterns)
                .map_err(|error| Failure::new(error.to_string()))?;
            Some(Arc::new(move |text: &str| redactor.redact(text)))
        }
    };
    Ok(Options {
        redact,
        catalogue: catalogue(config)?,
        durability: match record.durability {
            config::Durability::Durable => Durability::Durable,
            config::Durability::Lagged => Durability::Lagged {
                entries_max: record.lag_events_max,
                age_max: Duration::from_millis(record.lag_ms_max),
            },
        },
        tools_in_outage: outage(record.on_outage_tools),
        models_in_outage: outage(record.on_outage_models),
        bodies: record.bodies == Bodies::All,
        mode: match config.mode {
            config::Mode::Observe => Mode::Observe,
            config::Mode::Enforce => Mode::Enforce,
        },
        approvals: ApprovalOptions {
            wait: Duration::from_millis(config.approvals.wait_ms),
            expire: Duration::from_millis(config.approvals.expire_ms),
        },
        guard: guarding(config),
        publish_every: Duration::from_millis(record.publish_interval_ms),
        ..Options::default()
    })
}

fn guarding(config: &Config) -> GuardOptions {
    let guard = &config.guard;
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let breaker = |failures_max| BreakerOptions {
        failures_max: number(failures_max),
        open_for: Duration::from_millis(guard.open_ms),
        open_for_max: Duration::from_millis(guard.open_ms_max),
        probes_max: number(guard.probes_max),
        // No call lasts longer.
        probe_for: Duration::from_millis(config.timeouts.total_ms),
    };
    GuardOptions {
        loop_calls_max: number(guard.loop_calls_max),
        agents: breaker(guard.agent_failures_max),
        tools: breaker(guard.tool_failures_max),
        upstreams: breaker(guard.upstream_failures_max),
    }
}

/// How plans are carried out.
pub(crate) fn undoing(config: &Config) -> CarryOptions {
    CarryOptions {
        in_flight: match config.rollback.in_flight {
            config::InFlight::Finish => InFlight::Finish,
            config::InFlight::Cancel => InFlight::Cancel,
        },
        ..CarryOptions::default()
    }
}

pub(crate) fn carrying(
    config: &Config,
    environment: &Environment,
) -> Result<gateway::Options, Failure> {
    let mut upstreams = std::collections::BTreeMap::new();
    for (name, list) in &config.upstreams {
        let list: Result<Vec<gateway::Upstream>, Failure> = list
            .as_slice()
            .iter()
            .map(|upstream| at(name, upstream, environment))
            .collect();
        upstreams.insert(name.clone(), list?);
    }
    let mut mcp = std::collections::BTreeMap::new();
    for (name, server) in &config.mcp {
        mcp.insert(name.clone(), mcp_server(name, server, environment)?);
    }
    let only_ours = config.mcp.iter().filter(|(_, server)| !server.agents);
    let only_ours = only_ours.map(|(name, _)| name.clone()).collect();
    let mut a2a = std::collections::BTreeMap::new();
    for (name, agent) in &config.a2a {
        let ca_file = agent.ca_file.as_deref();
        let endpoint = endpoint(&agent.url, ca_file, &agent.headers, environment);
        let endpoint =
            endpoint.map_err(|wrong| Failure::new(format!("agent `{name}`: {wrong}")))?;
        a2a.insert(name.clone(), endpoint);
    }
    let millis = Duration::from_millis;
    Ok(gateway::Options {
        upstreams,
        mcp,
        only_ours,
        a2a,
        notify: notify(config, environment)?,
        limits: gateway::Limits {
            body_bytes_max: size(config.limits.body_bytes_max),
            sse_line_bytes_max: size(config.limits.sse_line_bytes_max),
            in_flight_max: size(config.limits.in_flight_max),
        },
        timeouts: gateway::Timeouts {
            connect: millis(config.timeouts.connect_ms),
            first_token: millis(config.timeouts.first_token_ms),
            idle: millis(config.timeouts.idle_ms),
            total: millis(config.timeouts.total_ms),
            cancelled: millis(config.timeouts.cancelled_ms),
        },
        retry: gateway::Retry {
            attempts_max: u32::try_from(config.retry.attempts_max).unwrap_or(u32::MAX),
            initial_interval: millis(config.retry.initial_interval_ms),
            maximum_interval: millis(config.retry.maximum_interval_ms),
            budget_percent: u32::try_from(config.retry.budget_percent).unwrap_or(u32::MAX),
            retry_after_max: millis(config.retry.retry_after_max_ms),
        },
    })
}

/// What is known about tools. Its mistakes were told when the configuration was examined.
pub(super) fn catalogue(config: &Config) -> Result<Option<Arc<Catalogue>>, Failure> {
    let Some(path) = &config.tools else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::file("read", path, &error))?;
    let read = Catalogue::parse(&text).map_err(|problems| {
        let first = problems.into_iter().next();
        let what = first.map_or_else(String::new, |problem| problem.to_string());
        Failure::new(format!("{}:{what}", path.display()))
            .with_hint("`rescind config check` lists everything that is wrong, and what to do")
    });
    read.map(|catalogue| Some(Arc::new(catalogue)))
}

fn at(
    name: &str,
    upstream: &config::Upstream,
    environment: &Environment,
) -> Result<gateway::Upstream, Failure> {
    let wrong = |what: String| Failure::new(format!("upstream `{name}`: {what}"));
    let ca = match &upstream.ca_file {
        None => None,
        Some(path) => {
            Some(std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?)
        }
    };
    Ok(gateway::Upstream {
        url: upstream
            .url
            .parse::<Uri>()
            .map_err(|error| wrong(error.to_string()))?,
        wire: match upstream.wire {
            config::Wire::Openai => gateway::Wire::OpenAi,
            config::Wire::Anthropic => gateway::Wire::Anthropic,
        },
        ca,
        headers: given_headers(&upstream.headers, environment).map_err(wrong)?,
        models: upstream.models.clone(),
    })
}

fn mcp_server(
    name: &str,
    server: &config::McpServer,
    environment: &Environment,
) -> Result<gateway::McpServer, Failure> {
    let what = format!("MCP server `{name}`");
    let Some(url) = &server.url else {
        let program = program(server, environment);
        return program
            .map(gateway::McpServer::Program)
            .map_err(|wrong| Failure::new(format!("{what}: {wrong}")));
    };
    let endpoint = endpoint(url, server.ca_file.as_deref(), &server.headers, environment);
    Ok(gateway::McpServer::Http(endpoint.map_err(|wrong| {
        Failure::new(format!("{what}: {wrong}"))
    })?))
}

/// Variables of our own environment that every program needs, and that are no secrets.
const INHERITED: [&str; 9] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR",
];

/// A server that we start.
fn program(
    server: &config::McpServer,
    environment: &Environment,
) -> Result<gateway::Program, String> {
    let inherited = INHERITED.iter().filter_map(|name| {
        let value = environment.raw(name)?.to_str()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let mut env: std::collections::BTreeMap<String, String> = inherited.collect();
    for (name, given) in &server.env {
        let value = given
            .text(environment)
            .ok_or_else(|| format!("the variable for `env.{name}` is not set"))?;
        env.insert(name.clone(), value.to_owned());
    }
    Ok(gateway::Program {
        command: server.command.clone(),
        env,
        cwd: server.cwd.clone(),
        backoff_max: Duration::from_millis(server.restart_backoff_ms_max),
    })
}

/// Where those are told who must hear of what cannot be taken back.
fn notify(config: &Config, environment: &Environment) -> Result<Option<gateway::Notify>, Failure> {
    let notify = &config.notify;
    let Some(url) = &notify.url else {
        return Ok(None);
    };
    let wrong = |wrong: String| Failure::new(format!("`notify`: {wrong}"));
    let ca_file = notify.ca_file.as_deref();
    let endpoint = endpoint(url, ca_file, &notify.headers, environment).map_err(wrong)?;
    let secret = match &notify.secret {
        None => None,
        Some(given) => {
            let secret = given.text(environment).and_then(gateway::Secret::read);
            let unfit = || wrong("the secret is not set, or none".to_owned());
            Some(secret.ok_or_else(unfit)?)
        }
    };
    Ok(Some(gateway::Notify { endpoint, secret }))
}

/// What is called by its whole URL.
fn endpoint(
    url: &str,
    ca_file: Option<&std::path::Path>,
    headers: &std::collections::BTreeMap<String, config::Given>,
    environment: &Environment,
) -> Result<gateway::Endpoint, String> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("could not read `{}`: {error}", path.display()))
    };
    Ok(gateway::Endpoint {
        url: url.parse::<Uri>().map_err(|error| error.to_string())?,
        ca: ca_file.map(read).transpose()?,
        headers: given_headers(headers, environment)?,
    })
}

/// Headers with their values, wherever those are given.
fn given_headers(
    headers: &std::collections::BTreeMap<String, config::Given>,
    environment: &Environment,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    headers
        .iter()
        .map(|(name, given)| {
            let value = given
                .text(environment)
                .ok_or_else(|| format!("the variable for the header `{name}` is not set"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("the value of the header `{name}` is none"))?;
            value.set_sensitive(true);
            let name: HeaderName = name
                .parse()
                .map_err(|_| format!("`{name}` is no name of a header"))?;
            Ok((name, value))
        })
        .collect()
}

/// Checks the record's files for the API.
fn verifier(session: &Session) -> server::Verify {
    let dir = session.data_dir().to_owned();
    let realm: Realm = session.realm().clone();
    let witness_dir = session.witness_dir();
    Arc::new(move |full| -> Result<VerifiedView, ledger::StoreError> {
        let options = store::verify::Options {
            full,
            realm: realm.clone(),
            witness_dir: witness_dir.clone(),
            ..store::verify::Options::default()
        };
        let report = store::verify::verify(&dir, &options, &|_, _, _| {})?;
        Ok(super::verify::view(report, full, true))
    })
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
