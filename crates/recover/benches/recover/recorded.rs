//! (a) Recorded runs: rollbacks, what inverses do, what a write changed for later calls.

use std::collections::BTreeMap;

use crate::oracle::score::{Share, line};
use crate::oracle::{data, halves, judge};

pub(crate) fn report() {
    let Some(data) = data() else {
        println!("\n(a) no recorded effects in `RESCIND_DATA`: passed over");
        return;
    };
    for half in halves(&data) {
        let report = judge(&data, &half);
        let half = half.file_name().unwrap().to_string_lossy();
        println!("\n(a) recorded runs, half `{half}`; 95 % intervals in brackets");
        let rows = [
            ("R1 all wrong writes rolled back", report.wrong),
            ("   checkpoint before the first", report.checkpoint[0]),
            ("   the API's inverses in reverse order", report.saga[0]),
            ("R2 one write dropped, the rest kept", report.one),
            (
                "   kept calls that fail announced, no others",
                report.announced,
            ),
            ("   checkpoint before it", report.checkpoint[1]),
            ("   the API's inverse", report.saga[1]),
            ("R3 what the inverse would do", report.inverse),
            (
                "   the most frequent answer of each tool",
                majority(&report.answers),
            ),
        ];
        for (name, share) in rows {
            println!("{name:<48} {share}");
        }
        println!(
            "{:<48} {}",
            "B1 what a write changed for later calls",
            line(&report.blast)
        );
        println!("{:<48} {}", "   everything later", line(&report.later));
        println!(
            "{:<48} {}",
            "   a written record's key in the arguments",
            line(&report.keyed)
        );
        for miss in &report.misses {
            println!("   missed: {}", miss.lines().next().unwrap_or_default());
        }
    }
}

/// The share of answers that are the most frequent of their tool.
fn majority(answers: &[(String, String)]) -> Share {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for (tool, answer) in answers {
        *counts.entry(tool).or_default().entry(answer).or_default() += 1;
    }
    let most = counts.values().filter_map(|of| of.values().max());
    Share {
        hit: most.sum(),
        of: answers.len(),
    }
}
