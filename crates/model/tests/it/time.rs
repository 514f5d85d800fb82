//! Hybrid logical time and the ids made from it.

use model::{DecisionId, HybridClock, HybridTime};
use proptest::prelude::*;

#[test]
fn c6_causal_order_survives_clocks_set_back() {
    let mut here = HybridClock::default();
    let cause = here.next(2_000_000);
    // The clock is set back by a second, and then a message arrives from a machine ahead of us.
    let effect = here.next(1_000_000);
    assert!(cause < effect);
    let mut there = HybridClock::default();
    there.observe(effect);
    let answer = there.next(500_000);
    assert!(effect < answer);
    assert_eq!(answer.wall, 2_000_000);
}

#[test]
fn a_full_counter_moves_the_wall_part_on() {
    let mut clock = HybridClock::resume(HybridTime {
        wall: 5,
        tick: u32::MAX,
    });
    assert_eq!(clock.next(1), HybridTime { wall: 6, tick: 0 });
}

proptest! {
    #[test]
    fn c6_time_only_grows(walls in prop::collection::vec(0u64..10, 1..200)) {
        let mut clock = HybridClock::default();
        let mut last = HybridTime::default();
        for wall in walls {
            let next = clock.next(wall);
            prop_assert!(next > last);
            prop_assert!(next.wall >= wall);
            last = next;
        }
    }

    #[test]
    fn ids_sort_by_time_and_read_back(
        a in 0u64..1 << 48, b in 0u64..1 << 48, r: [u8; 10], s: [u8; 10],
    ) {
        let (first, second) = (DecisionId::new(a, r), DecisionId::new(b, s));
        prop_assert_eq!(first.millis(), a);
        prop_assert_eq!(first.to_string().parse::<DecisionId>().unwrap(), first);
        prop_assert_eq!(&first.to_string()[14..15], "7");
        if a != b {
            prop_assert_eq!(a < b, first < second);
            prop_assert_eq!(a < b, first.to_string() < second.to_string());
        }
    }
}

#[test]
fn a_text_that_is_not_an_id_is_refused() {
    let long = "../../etc/passwd".repeat(40);
    for text in [
        "",
        "x",
        "01890a5d-ac96-774b-bcce-b302099a805",
        "../../../../etc/passwd",
        &long,
    ] {
        let error = text.parse::<DecisionId>().unwrap_err().to_string();
        assert!(error.contains("is not an id"), "{error}");
        assert!(error.len() < 200);
    }
    let upper = "01890A5D-AC96-774B-BCCE-B302099A8057";
    assert!(
        upper.parse::<DecisionId>().is_err(),
        "one form only, so that ids compare as text"
    );
}
