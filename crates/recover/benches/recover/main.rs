//! How far plans get on recorded runs and in generated systems, beside other ways, and how long
//! making one takes.
//!
//! `cargo bench -p rescind-recover` prints it all; with `-- recorded`, `-- generated` or `-- speed`
//! that part only. Recorded runs are looked for under `RESCIND_DATA`.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints, measures time, and may stop"
)]

mod generated;
#[path = "../../tests/it/oracle/mod.rs"]
mod oracle;
mod recorded;
mod speed;
#[path = "../../tests/it/systems.rs"]
mod systems;
#[path = "../../tests/it/world.rs"]
mod world;

fn main() {
    // `cargo test` runs benchmarks too, with `--test`: compiling them is enough there.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let parts = ["recorded", "generated", "speed"];
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    let all = !parts.into_iter().any(named);
    if all || named("recorded") {
        recorded::report();
    }
    if all || named("generated") {
        generated::report();
    }
    if all || named("speed") {
        speed::report();
    }
}
