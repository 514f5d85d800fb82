//! A running server in place of the files: the same questions, asked over its API.
//!
//! The API answers with the objects that the commands print, so what is asked here reads and shows
//! like what is asked of the files.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use engine::prove::Evidence;
use engine::undo::view::{PlanView, QuarantineView, RollbackView, RollbacksView};
use engine::view::{
    ApprovalsView, BlastView, CheckpointsView, ContextView, DecisionView, GraphView, HeldView,
    RuledView, RunView, RunsView, StepsView, ToolsView, VerifiedView, WhyView,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use ledger::Page;
use recover::plan::Rule;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The longest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How long an answer may take: verifying everything is the longest.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    base: Uri,
    token: Option<String>,
}

/// What is to be taken back, as it was said.
pub(crate) struct Wanted<'a> {
    pub(crate) of: &'a [String],
    pub(crate) reason: &'a str,
    pub(crate) include: &'a [String],
    pub(crate) settle: &'a [(String, Rule)],
}

/// A part of a list, and where it goes on.
#[derive(Debug, Deserialize)]
struct Paged<T> {
    #[serde(flatten)]
    page: T,
    next: Option<String>,
}

/// What the server says when it cannot answer.
#[derive(Debug, Deserialize)]
struct Problem {
    error: String,
    hint: Option<String>,
    code: Option<String>,
}

impl Remote {
    /// Takes the address of a server, such as `http://127.0.0.1:7373`.
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::new(format!("`{url}` is no address of a server: {why}"))
                .with_hint("give the address that `rescind up` printed: `http://127.0.0.1:7373`")
        };
        let base: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        match base.scheme_str() {
            Some("http" | "https") if base.authority().is_some() => Ok(Self { base, token }),
            _ => Err(wrong("it has to begin with `http://` or `https://`")),
        }
    }

    pub(crate) async fn runs(&self, page: Page) -> Result<RunsView, Failure> {
        let Page { skip, limit } = page;
        self.get(&format!("runs?skip={skip}&limit={limit}")).await
    }

    pub(crate) async fn run(&self, id: &str) -> Result<RunView, Failure> {
        self.get(&format!("runs/{}", part(id))).await
    }

    pub(crate) async fn steps(&self, id: &str, limit: usize) -> Result<StepsView, Failure> {
        self.get(&format!("runs/{}/decisions?limit={limit}", part(id)))
            .await
    }

    /// Returns a decision; none if the id is of something else.
    pub(crate) async fn decision(&self, id: &str) -> Result<Option<DecisionView>, Failure> {
        let (status, body) = self
            .ask(Method::GET, &format!("decisions/{}", part(id)))
            .await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.code.as_deref() == Some("wrong-kind") => Ok(None),
            _ => read(status, &body).map(Some),
        }
    }

    pub(crate) async fn graph(&self, id: &str, limit: usize) -> Result<GraphView, Failure> {
        self.get(&format!("graph/{}?limit={limit}", part(id))).await
    }

    pub(crate) async fn blast(&self, id: &str, limit: usize) -> Result<BlastView, Failure> {
        self.get(&format!("blast/{}?limit={limit}", part(id))).await
    }

    pub(crate) async fn why(&self, earlier: &str, later: &str) -> Result<WhyView, Failure> {
        self.get(&format!("why/{}/{}", part(earlier), part(later)))
            .await
    }

    pub(crate) async fn tools(&self) -> Result<ToolsView, Failure> {
        self.whole("tools", |all: &mut ToolsView, part| {
            all.tools.extend(part.tools)
        })
        .await
    }

    pub(crate) async fn context(&self, run: &str) -> Result<ContextView, Failure> {
        self.get(&format!("runs/{}/context", part(run))).await
    }

    pub(crate) async fn checkpoints(&self, run: &str) -> Result<CheckpointsView, Failure> {
        let path = format!("runs/{}/checkpoints", part(run));
        self.whole(&path, |all: &mut CheckpointsView, part| {
            all.checkpoints.extend(part.checkpoints);
        })
        .await
    }

    pub(crate) async fn prove(
        &self,
        id: &str,
        disclose: &[String],
        chain: bool,
    ) -> Result<Evidence, Failure> {
        let fields = disclose.join(",");
        let disclose = match disclose.is_empty() {
            true => String::new(),
            false => format!("&disclose={}", part(&fields)),
        };
        self.get(&format!("proof/{}?chain={chain}{disclose}", part(id)))
            .await
    }

    pub(crate) async fn verify(&self, full: bool) -> Result<VerifiedView, Failure> {
        let (status, body) = self
            .ask(Method::POST, &format!("verify?full={full}"))
            .await?;
        read(status, &body)
    }

    pub(crate) async fn approvals(&self) -> Result<ApprovalsView, Failure> {
        self.whole("approvals", |all: &mut ApprovalsView, part| {
            all.approvals.extend(part.approvals);
        })
        .await
    }

    /// Approves or rejects the call that waits and was shown.
    pub(crate) async fn rule(
        &self,
        held: &HeldView,
        approve: bool,
        by: Option<&str>,
        reason: Option<&str>,
    ) -> Result<RuledView, Failure> {
        let deed = if approve { "approve" } else { "reject" };
        let said = serde_json::json!({ "call": held.call, "by": by, "reason": reason });
        let path = format!("approvals/{}/{deed}", part(&held.decision));
        let (status, body) = self.send(Method::POST, &path, said.to_string()).await?;
        read(status, &body)
    }

    pub(crate) async fn rollbacks(&self) -> Result<RollbacksView, Failure> {
        self.whole("rollbacks", |all: &mut RollbacksView, part| {
            all.rollbacks.extend(part.rollbacks);
        })
        .await
    }

    pub(crate) async fn rollback(&self, id: &str) -> Result<RollbackView, Failure> {
        self.get(&format!("rollbacks/{}", part(id))).await
    }

    pub(crate) async fn plan(&self, wanted: &Wanted<'_>) -> Result<PlanView, Failure> {
        let query = incident(wanted);
        self.post(&format!("rollbacks/plan?{query}")).await
    }

    pub(crate) async fn propose(&self, wanted: &Wanted<'_>) -> Result<RollbackView, Failure> {
        let query = incident(wanted);
        self.post(&format!("rollbacks/propose?{query}")).await
    }

    pub(crate) async fn approve(
        &self,
        id: &str,
        digest: &str,
        by: &str,
    ) -> Result<RollbackView, Failure> {
        let (id, digest, by) = (part(id), part(digest), part(by));
        self.post(&format!("rollbacks/{id}/approve?digest={digest}&by={by}"))
            .await
    }

    pub(crate) async fn reject(&self, id: &str, by: &str) -> Result<RollbackView, Failure> {
        self.post(&format!("rollbacks/{}/reject?by={}", part(id), part(by)))
            .await
    }

    pub(crate) async fn retry(
        &self,
        id: &str,
        by: &str,
        settled: &BTreeMap<u32, bool>,
    ) -> Result<RollbackView, Failure> {
        let mut path = format!("rollbacks/{}/retry?by={}", part(id), part(by));
        for (name, happened) in [("happened", true), ("not_happened", false)] {
            let found = settled.iter().filter(|(_, is)| **is == happened);
            let numbers: Vec<String> = found.map(|(number, _)| number.to_string()).collect();
            if !numbers.is_empty() {
                path.push_str(&format!("&{name}={}", numbers.join(",")));
            }
        }
        self.post(&path).await
    }

    pub(crate) async fn quarantined(&self) -> Result<QuarantineView, Failure> {
        self.whole("quarantine", |all: &mut QuarantineView, part| {
            all.held.extend(part.held);
        })
        .await
    }

    pub(crate) async fn quarantine(
        &self,
        agent: &str,
        by: &str,
    ) -> Result<QuarantineView, Failure> {
        self.post(&format!("quarantine/{}?by={}", part(agent), part(by)))
            .await
    }

    pub(crate) async fn release(&self, agent: &str, by: &str) -> Result<QuarantineView, Failure> {
        let (agent, by) = (part(agent), part(by));
        self.post(&format!("quarantine/{agent}/release?by={by}"))
            .await
    }

    /// Asks for a list, page after page.
    async fn whole<T: DeserializeOwned>(
        &self,
        path: &str,
        add: impl Fn(&mut T, T),
    ) -> Result<T, Failure> {
        let Paged { mut page, mut next } = self.get::<Paged<T>>(path).await?;
        while let Some(cursor) = next {
            let more: Paged<T> = self
                .get(&format!("{path}?cursor={}", part(&cursor)))
                .await?;
            add(&mut page, more.page);
            next = more.next;
        }
        Ok(page)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let (status, body) = self.ask(Method::POST, path).await?;
        read(status, &body)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let (status, body) = self.ask(Method::GET, path).await?;
        read(status, &body)
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        self.send(method, path, String::new()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let server = self.base.authority().map_or("", |server| server.as_str());
        let unreachable = |why: String| {
            Failure::new(format!("could not ask `{server}`: {why}"))
                .with_hint("is `rescind up` running there? Without `--url` the files are read")
        };
        let base = self.base.to_string();
        let uri: Uri = format!("{}/api/v1/{path}", base.trim_end_matches('/'))
            .parse()
            .map_err(|_| Failure::new(format!("`{path}` makes no address")))?;
        let has_body = !body.is_empty();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        if has_body {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        *request.uri_mut() = uri;
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| Failure::new("the token is none: it has other characters"))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let client = gateway::plain_client();
        let asking = async {
            let response = client
                .request(request)
                .await
                .map_err(|error| unreachable(gateway::root(&error)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| unreachable(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(PATIENCE, asking)
            .await
            .map_err(|_| unreachable("it did not answer in time".to_owned()))?
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, Failure> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| {
            Failure::new(format!(
                "the server's answer is not what this version reads: {error}"
            ))
            .with_hint("use the same version of `rescind` on both sides")
        });
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        error: format!("the server answered with status {status}"),
        hint: None,
        code: None,
    });
    let failure = Failure::new(problem.error);
    Err(match problem.hint {
        Some(hint) => failure.with_hint(hint),
        None if status == StatusCode::UNAUTHORIZED => {
            failure.with_hint("set `RESCIND_TOKEN` to a token of the role `viewer` or `operator`")
        }
        None => failure,
    })
}

fn incident(wanted: &Wanted<'_>) -> String {
    let Wanted {
        of,
        reason,
        include,
        settle,
    } = *wanted;
    let mut query = format!("of={}", part(&of.join(",")));
    if !reason.is_empty() {
        query.push_str(&format!("&reason={}", part(reason)));
    }
    if !include.is_empty() {
        query.push_str(&format!("&include={}", part(&include.join(","))));
    }
    if !settle.is_empty() {
        let settle = settle
            .iter()
            .map(|(uri, rule)| format!("{uri}={}", rule.name()));
        let settle: Vec<String> = settle.collect();
        query.push_str(&format!("&settle={}", part(&settle.join(","))));
    }
    query
}

/// A part of a path or query, with everything encoded that could end it.
fn part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
