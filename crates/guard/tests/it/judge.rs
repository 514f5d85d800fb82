//! What becomes of a call.

use guard::{Facts, Mode, Rule, judge};
use model::EffectClass::{self, Compensable, Idempotent, Irreversible, Read, Unreviewed};
use model::{Timestamp, Verdict};

fn facts(class: EffectClass) -> Facts {
    Facts {
        class,
        approved: false,
        tripped: None,
        repeated: None,
    }
}

#[test]
fn c42_what_cannot_be_taken_back_waits_for_a_person() {
    for (class, rule, verdict) in [
        (Read, Rule::None, Verdict::Allow),
        (Idempotent, Rule::None, Verdict::Allow),
        (EffectClass::Bufferable, Rule::None, Verdict::Allow),
        (EffectClass::Reversible, Rule::None, Verdict::Allow),
        (Compensable, Rule::None, Verdict::Allow),
        (Irreversible, Rule::Irreversible, Verdict::Hold),
        (Unreviewed, Rule::Unreviewed, Verdict::Hold),
    ] {
        let judged = judge(Mode::Enforce, &facts(class));
        assert_eq!((judged.rule, judged.verdict), (rule, verdict));
        assert_eq!(judged.enforced, verdict);
        assert_eq!(guard::is_gated(class), verdict == Verdict::Hold);
        let approved = Facts {
            approved: true,
            ..facts(class)
        };
        assert_eq!(judge(Mode::Enforce, &approved).verdict, Verdict::Allow);
    }
}

#[test]
fn observing_says_the_same_and_lets_everything_through() {
    let tripped = Facts {
        tripped: Some(Timestamp(7)),
        ..facts(Read)
    };
    let repeated = Facts {
        repeated: Some(5),
        ..facts(Read)
    };
    for facts in [facts(Irreversible), tripped, repeated] {
        let (watched, enforced) = (judge(Mode::Observe, &facts), judge(Mode::Enforce, &facts));
        assert_eq!(watched.verdict, enforced.verdict);
        assert_ne!(enforced.enforced, Verdict::Allow);
        assert_eq!(watched.enforced, Verdict::Allow);
    }
}

#[test]
fn an_approval_is_not_spent_on_a_target_that_rests() {
    let call = Facts {
        approved: true,
        tripped: Some(Timestamp(7)),
        ..facts(Irreversible)
    };
    let judged = judge(Mode::Enforce, &call);
    assert_eq!(
        (judged.rule, judged.verdict),
        (Rule::Breaker, Verdict::Deny)
    );
}
