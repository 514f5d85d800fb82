//! What every fuzz target of an import checks: a file is refused, or read into runs that keep
//! their promises. The first line of the input, if it begins with `/`, is the pointer.
//!
//! `RUSTC_BOOTSTRAP=1 cargo build --manifest-path fuzz/Cargo.toml` shows that the targets build.
//! `cargo fuzz run import_atif`, on a nightly compiler, looks for inputs that break them.

use wire::import::{Format, Options, read};

/// Reads `data` as a file and checks what comes of it.
///
/// # Panics
/// If a run breaks a promise; that is what the fuzzer looks for.
pub fn import(format: Format, data: &[u8]) {
    let (pointer, file) = match data {
        [b'/', ..] => {
            let end = data.iter().position(|byte| *byte == b'\n');
            let (pointer, file) = data.split_at(end.unwrap_or(data.len()));
            (std::str::from_utf8(pointer).ok(), file)
        }
        _ => (None, data),
    };
    let options = Options {
        pointer,
        agent: None,
    };
    let runs = match read(format, file, &options) {
        Ok(runs) => runs,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let _ = error.hint();
            return;
        }
    };
    assert!(!runs.is_empty());
    for run in runs {
        assert!(!run.steps.is_empty());
        for (index, step) in run.steps.iter().enumerate() {
            assert!(step.links.iter().all(|link| link.step < index));
            assert!(step.parent.is_none_or(|parent| parent < index));
            assert!(!step.agent.is_empty() && !step.source.is_empty());
            let _ = step.gaps.account();
        }
    }
}
