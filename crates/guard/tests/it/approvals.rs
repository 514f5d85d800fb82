//! One approval, one call.

use guard::{Approvals, Entry, Given, NotWaiting, Standing};
use model::{DecisionId, Digest, Timestamp};
use proptest::prelude::*;

const CALL: Digest = Digest([1; 32]);
const OTHER: Digest = Digest([2; 32]);

fn id(n: u8) -> DecisionId {
    DecisionId::new(u64::from(n), [n; 10])
}

fn held(call: Digest, waited: bool) -> Entry {
    Entry {
        call,
        standing: Standing::Held,
        until: Timestamp(100),
        waited,
    }
}

#[test]
fn c42_an_approval_is_good_for_the_exact_call_and_for_one() {
    let mut book = Approvals::default();
    book.put(id(1), held(CALL, false));
    assert_eq!(book.claim(CALL, Timestamp(1)), None, "nobody approved it");
    assert_eq!(book.approve(id(1), Timestamp(50)), Ok(Given::Kept));
    assert_eq!(book.approve(id(1), Timestamp(50)), Err(NotWaiting));
    assert_eq!(book.claim(OTHER, Timestamp(1)), None, "another call");
    assert_eq!(book.claim(CALL, Timestamp(1)), Some(id(1)));
    assert_eq!(book.claim(CALL, Timestamp(1)), None, "it is claimed");
    book.release(id(1));
    assert_eq!(book.claim(CALL, Timestamp(50)), None, "its time is over");
    assert_eq!(book.claim(CALL, Timestamp(49)), Some(id(1)));
    book.remove(id(1));
    assert!(book.is_empty());
}

#[test]
fn who_waits_gets_the_approval_and_leaves_it_to_the_next_if_it_goes() {
    let mut book = Approvals::default();
    book.put(id(1), held(CALL, true));
    assert_eq!(book.join(CALL, Timestamp(1)), None, "a call waits for it");
    book.left(id(1));
    assert_eq!(book.join(CALL, Timestamp(100)), None, "its time is over");
    assert_eq!(book.join(CALL, Timestamp(1)), Some(id(1)));
    assert_eq!(book.approve(id(1), Timestamp(200)), Ok(Given::Waiting));
    assert_eq!(
        book.claim(CALL, Timestamp(1)),
        None,
        "the waiting call has it"
    );
    book.release(id(1));
    assert_eq!(book.claim(CALL, Timestamp(1)), Some(id(1)));
}

#[test]
fn c49_what_nobody_decided_in_time_is_over() {
    let mut book = Approvals::default();
    book.put(id(1), held(CALL, true));
    book.put(id(2), held(CALL, false));
    book.approve(id(2), Timestamp(300)).unwrap();
    book.put(id(3), held(OTHER, true));
    book.approve(id(3), Timestamp(50)).unwrap();
    assert!(book.overdue(Timestamp(99)).is_empty());
    let over: Vec<_> = book
        .overdue(Timestamp(100))
        .into_iter()
        .map(|o| o.0)
        .collect();
    assert_eq!(over, [id(1)], "what is claimed is on its way");
    assert_eq!(book.approve(id(1), Timestamp(400)), Err(NotWaiting));
    assert_eq!(book.overdue(Timestamp(300)).len(), 1);
}

#[derive(Clone, Debug)]
enum Act {
    Hold(bool, bool),
    Approve(u8),
    Claim(bool),
    Release(u8),
    Begin(u8),
    Leave(u8),
    Join(bool),
    Pass,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(call, waits)| Act::Hold(call, waits)),
        (0..8_u8).prop_map(Act::Approve),
        any::<bool>().prop_map(Act::Claim),
        (0..8_u8).prop_map(Act::Release),
        (0..8_u8).prop_map(Act::Begin),
        (0..8_u8).prop_map(Act::Leave),
        any::<bool>().prop_map(Act::Join),
        Just(Act::Pass),
    ]
}

proptest! {
    /// However holding, approving, claiming and giving back are mixed: there are never more calls
    /// on their way than persons approved, and each went with an approval of its own kind.
    #[test]
    fn c42_no_approval_is_used_twice(acts in prop::collection::vec(act(), 1..80)) {
        let mut book = Approvals::default();
        let (mut next, mut now) = (0_u8, 0_i64);
        let call = |first: bool| if first { CALL } else { OTHER };
        let mut approved = std::collections::HashMap::new();
        let mut begun = std::collections::HashSet::new();
        for act in acts {
            match act {
                Act::Hold(which, waits) if next < 200 => {
                    next += 1;
                    let until = Timestamp(now + 50);
                    book.put(id(next), Entry { until, ..held(call(which), waits) });
                }
                Act::Hold(..) => {}
                Act::Approve(n) => {
                    if book.approve(id(n), Timestamp(now + 50)).is_ok() {
                        prop_assert!(approved.insert(id(n), ()).is_none(), "approved twice");
                    }
                }
                Act::Claim(which) => {
                    if let Some(claimed) = book.claim(call(which), Timestamp(now)) {
                        prop_assert!(approved.contains_key(&claimed));
                        prop_assert!(!begun.contains(&claimed));
                        prop_assert_eq!(book.get(claimed).unwrap().call, call(which));
                    }
                }
                Act::Release(n) => book.release(id(n)),
                Act::Begin(n) => {
                    if book.get(id(n)).is_some_and(|e| e.standing == Standing::Claimed) {
                        book.remove(id(n));
                        prop_assert!(begun.insert(id(n)), "begun twice");
                    }
                }
                Act::Leave(n) => book.left(id(n)),
                Act::Join(which) => {
                    book.join(call(which), Timestamp(now));
                }
                Act::Pass => {
                    now += 20;
                    book.overdue(Timestamp(now));
                }
            }
            prop_assert!(begun.len() <= approved.len());
        }
    }
}
