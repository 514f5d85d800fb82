//! The policy that calls are judged by: which rules there are, how they are set, and what is done
//! about what they say.

use std::time::Duration;

use guard::{BreakerOptions, Judgement, Mode, Phase, Rule, Target};
use model::{Digest, PolicyUse, Verdict};

use super::Options;

/// How long persons have to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalOptions {
    /// How long a call waits for an approval before it is answered that it still waits.
    /// Default: 25 s, less than most clients wait for a tool.
    pub wait: Duration,
    /// How long a person has to decide, and how long an approval is good. Default: 1 h.
    pub expire: Duration,
}

impl Default for ApprovalOptions {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(25),
            expire: Duration::from_secs(3_600),
        }
    }
}

/// When loops and targets that fail are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardOptions {
    /// How often the same call with the same arguments may be made in a row; 0 for no limit.
    /// Default: 5.
    pub loop_calls_max: u32,
    /// Agents that others send messages to.
    pub agents: BreakerOptions,
    /// Tools of MCP servers.
    pub tools: BreakerOptions,
    /// Models at upstreams.
    pub upstreams: BreakerOptions,
}

impl Default for GuardOptions {
    fn default() -> Self {
        let breaker = BreakerOptions::default();
        Self {
            loop_calls_max: 5,
            agents: breaker,
            tools: breaker,
            upstreams: breaker,
        }
    }
}

impl GuardOptions {
    /// Returns how the breaker of a target is set.
    pub(super) fn breaker(&self, target: &Target) -> &BreakerOptions {
        match target.kind() {
            "agent" => &self.agents,
            "tool" => &self.tools,
            _ => &self.upstreams,
        }
    }
}

/// The policy of this process.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    digest: Digest,
}

impl Policy {
    pub(super) fn of(options: &Options) -> Self {
        let breaker = |breaker: &BreakerOptions| {
            serde_json::json!({
                "failures_max": breaker.failures_max,
                "open_ms": millis(breaker.open_for),
                "open_ms_max": millis(breaker.open_for_max),
                "probes_max": breaker.probes_max,
            })
        };
        let GuardOptions {
            loop_calls_max,
            agents,
            tools,
            upstreams,
        } = &options.guard;
        let text = serde_json::json!({
            "approvals": { "expire_ms": millis(options.approvals.expire) },
            "breakers": {
                "agents": breaker(agents),
                "tools": breaker(tools),
                "upstreams": breaker(upstreams),
            },
            "hold": [Rule::Irreversible.name(), Rule::Unreviewed.name()],
            "loop_calls_max": loop_calls_max,
            "mode": mode_name(options.mode),
        });
        Self {
            mode: options.mode,
            digest: ledger::digest::sha256(text.to_string().as_bytes()),
        }
    }

    /// What stands in the record of a call that no rule looks at.
    pub(super) fn unjudged(&self) -> PolicyUse {
        self.used(mode_name(self.mode), Verdict::Allow, Verdict::Allow)
    }

    /// What stands in the record of a call that was judged.
    pub(super) fn judged(&self, judged: &Judgement) -> PolicyUse {
        match judged.rule {
            Rule::None => self.unjudged(),
            rule => self.used(rule.name(), judged.verdict, judged.enforced),
        }
    }

    /// What stands in the record of a breaker's change.
    pub(super) fn breaker(&self, to: Phase) -> PolicyUse {
        let verdict = verdict_of(to);
        let enforced = match self.mode {
            Mode::Observe => Verdict::Allow,
            Mode::Enforce => verdict,
        };
        self.used(Rule::Breaker.name(), verdict, enforced)
    }

    fn used(&self, id: &str, verdict: Verdict, enforced: Verdict) -> PolicyUse {
        PolicyUse {
            digest: self.digest,
            enforced,
            id: id.to_owned(),
            verdict,
            version: "1".to_owned(),
        }
    }
}

/// What a breaker says of calls, by where it stands.
pub(super) const fn verdict_of(phase: Phase) -> Verdict {
    match phase {
        Phase::Closed => Verdict::Allow,
        Phase::HalfOpen => Verdict::Degrade,
        Phase::Open => Verdict::Deny,
    }
}

/// Where a breaker stands, by what the record says of it.
pub(super) const fn phase_of(verdict: Verdict) -> Phase {
    match verdict {
        Verdict::Allow => Phase::Closed,
        Verdict::Degrade => Phase::HalfOpen,
        Verdict::Deny | Verdict::Hold => Phase::Open,
    }
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
