//! What becomes of a call, by the facts about it.

use model::{EffectClass, Timestamp, Verdict};

/// What is done about calls that a rule objects to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// They pass and are marked.
    #[default]
    Observe,
    /// They are held or refused.
    Enforce,
}

/// What is known of a call before it is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How its effect can be taken back.
    pub class: EffectClass,
    /// Whether a person approved exactly this call, and the approval is still good.
    pub approved: bool,
    /// When to try again, where a breaker refuses its target.
    pub tripped: Option<Timestamp>,
    /// How often the same call was made in a row already, where that is too often.
    pub repeated: Option<u32>,
}

/// Which rule decided about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Nothing objects.
    None,
    /// Its target failed too often.
    Breaker,
    /// The same call was made too often in a row.
    Loop,
    /// Its effect cannot be taken back.
    Irreversible,
    /// Nobody has said whether its effect can be taken back.
    Unreviewed,
    /// A person approved it.
    Approved,
}

impl Rule {
    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Breaker => "breaker",
            Self::Loop => "loop",
            Self::Irreversible => "irreversible",
            Self::Unreviewed => "unreviewed",
            Self::Approved => "approved",
        }
    }
}

/// What a rule says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The rule.
    pub rule: Rule,
    /// What it says.
    pub verdict: Verdict,
    /// What is done about it.
    pub enforced: Verdict,
}

/// Returns whether effects of a class wait for a person before they happen.
#[must_use]
pub const fn is_gated(class: EffectClass) -> bool {
    matches!(class, EffectClass::Irreversible | EffectClass::Unreviewed)
}

/// Decides about a call.
///
/// A target that rests comes first, because an approval must not be spent on a call that cannot
/// succeed. What a person decides about is no loop: they see how often they are asked.
#[must_use]
pub const fn judge(mode: Mode, facts: &Facts) -> Judgement {
    let (rule, verdict) = match facts {
        Facts {
            tripped: Some(_), ..
        } => (Rule::Breaker, Verdict::Deny),
        Facts {
            class: EffectClass::Irreversible | EffectClass::Unreviewed,
            approved: true,
            ..
        } => (Rule::Approved, Verdict::Allow),
        Facts {
            class: EffectClass::Irreversible,
            ..
        } => (Rule::Irreversible, Verdict::Hold),
        Facts {
            class: EffectClass::Unreviewed,
            ..
        } => (Rule::Unreviewed, Verdict::Hold),
        Facts {
            repeated: Some(_), ..
        } => (Rule::Loop, Verdict::Deny),
        _ => (Rule::None, Verdict::Allow),
    };
    let enforced = match mode {
        Mode::Observe => Verdict::Allow,
        Mode::Enforce => verdict,
    };
    Judgement {
        rule,
        verdict,
        enforced,
    }
}
