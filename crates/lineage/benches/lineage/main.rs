//! Precision and recall of inferred causes against the explicit structure of recorded runs, and
//! the speed of tracing and of the blast radius.
//!
//! `cargo bench -p rescind-lineage` prints it all, with `-- speed` only the second half; what is judged and how is said in each part.
//! Recorded runs are looked for under `RESCIND_DATA`; without them only speed is measured.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints, measures time, finds its data by the environment, and may stop"
)]

mod calls;
mod data;
mod effects;
mod score;
mod speakers;
mod speed;
mod values;

use score::Tally;

/// Prints one line: name, how many are true, and the three measures with their intervals.
fn print(name: &str, tallies: &[Tally]) {
    let truth: usize = tallies.iter().map(|t| t.hit + t.missed).sum();
    println!("{name:<58} n={truth:<5} {}", score::line(tallies));
}

fn main() {
    // `cargo test` runs benchmarks too, with `--test`: compiling them is enough there.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let root = data::root();
    let only_speed = std::env::args().any(|arg| arg == "speed");
    if only_speed {
        println!("accuracy is passed over");
    } else if root.is_dir() {
        calls::report(&root);
        values::report(&root);
        effects::report(&root);
        speakers::report(&root);
    } else {
        println!(
            "no recorded runs in {}: accuracy is passed over",
            root.display()
        );
    }
    speed::report(&root);
}
