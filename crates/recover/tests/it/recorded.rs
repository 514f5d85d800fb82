//! The oracle's goals on the recorded runs that are there.

use crate::oracle::{data, halves, judge, score};

#[test]
fn rollbacks_of_recorded_runs_come_to_the_state_of_the_right_calls() {
    let Some(data) = data() else {
        println!("no recorded effects in `RESCIND_DATA`: passing over");
        return;
    };
    for half in halves(&data) {
        let report = judge(&data, &half);
        println!("{}", half.display());
        println!(
            "R1 {}\nR2 {}\nannounced {}\nR3 {}\nB1 {}",
            report.wrong,
            report.one,
            report.announced,
            report.inverse,
            score::line(&report.blast)
        );
        for miss in &report.misses {
            println!("{miss}");
        }
        for share in [report.wrong, report.one, report.announced] {
            assert_eq!(share.hit, share.of);
        }
        assert!(report.inverse.share() >= 0.98);
        let [_, recall, f1] = score::counts::measures(report.blast.iter().copied());
        assert!(f1 >= 0.95 && recall >= 0.98, "F1 {f1}, recall {recall}");
    }
}
