//! Recorded runs from elsewhere: every file of a known shape is read whole.
//!
//! The data lies outside the repository: `RESCIND_DATA`, by default `../shared/data` beside the
//! workspace. Without it these tests say so and pass over. Sets come in halves; whichever half
//! is there is read.

use std::fs;
use std::path::{Path, PathBuf};

use model::{CauseKind, Kind, Outcome};
use serde_json::Value;
use wire::import::{Format, Options, Run, detect, read};

use crate::kept::lost;
use crate::support::check;

#[expect(
    clippy::disallowed_methods,
    reason = "tests find real data by the environment"
)]
pub(crate) fn data() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let path = std::env::var_os("RESCIND_DATA").map_or_else(|| beside.into(), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    println!("passed over: no recorded runs at {}", path.display());
    None
}

/// Every file of a set, in any half, whose path has a part of this name.
pub(crate) fn files(set: &str, part: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path
                .extension()
                .is_some_and(|end| end == "json" || end == "jsonl")
            {
                found.push(path);
            }
        }
    }
    let Some(folder) = data().map(|data| data.join(set)).filter(|set| set.is_dir()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    walk(&folder, &mut found);
    found.retain(|path| path.iter().any(|name| name == part));
    found.sort();
    found
}

/// Reads a file and checks that nothing is lost; gives the runs and the file as JSON to `then`.
fn each(
    set: &str,
    part: &str,
    format: Format,
    pointer: Option<&str>,
    mut then: impl FnMut(&Path, &[Run<'_>], &Value),
) {
    let files = files(set, part);
    assert!(data().is_none() || !files.is_empty(), "no {part} in {set}");
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let options = Options {
            pointer,
            agent: None,
        };
        let runs = read(format, &bytes, &options)
            .unwrap_or_else(|error| panic!("{}: {error}; {:?}", path.display(), error.hint()));
        runs.iter().for_each(check);
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        if pointer.is_none() {
            assert_eq!(
                lost(&file, &runs),
                Vec::<String>::new(),
                "{}",
                path.display()
            );
            assert_eq!(detect(&bytes), Some(format), "{}", path.display());
        }
        then(&path, &runs, &file);
    }
}

/// Every message is the source of exactly one step, tool calls count once more where they lack a
/// result.
fn every_message_is_there(path: &Path, run: &Run<'_>, messages: &[Value]) {
    let calls = |message: &Value| message["tool_calls"].as_array().map_or(0, Vec::len);
    let asked: usize = messages.iter().map(calls).sum();
    let results = messages
        .iter()
        .filter(|message| message["role"] == "tool")
        .count();
    let called = run
        .steps
        .iter()
        .filter(|step| step.kind == Kind::ToolCall)
        .count();
    let unanswered = run
        .steps
        .iter()
        .filter(|step| step.marks.orphaned_call)
        .count();
    let uncalled = run
        .steps
        .iter()
        .filter(|step| step.marks.orphaned_result)
        .count();
    assert_eq!(called, asked + uncalled, "{}", path.display());
    assert_eq!(asked - unanswered, results - uncalled, "{}", path.display());
    assert_eq!(
        run.steps.len(),
        messages.len() - results + called,
        "{}",
        path.display()
    );
    for step in &run.steps {
        let source: Value = serde_json::from_str(&step.source).unwrap();
        let whole = messages.contains(&source);
        assert!(
            whole || step.marks.orphaned_call,
            "{}: {step:?}",
            path.display()
        );
    }
}

#[test]
fn tau_bench_runs_are_read_by_pointer() {
    let mut reused = 0;
    for trial in 0..4 {
        let pointer = format!("/{trial}/traj");
        each(
            "tau-bench",
            "airline-gpt-4o-4trials",
            Format::OpenaiChat,
            Some(&pointer),
            |path, runs, file| {
                let messages = file[trial]["traj"].as_array().unwrap();
                let [run] = runs else {
                    panic!("{} runs", runs.len())
                };
                every_message_is_there(path, run, messages);
                assert!(!run.steps.iter().any(|step| step.marks.orphaned_call));
                reused += run
                    .steps
                    .iter()
                    .filter(|step| step.marks.reused_call_id)
                    .count();
                let mut around = file[trial].as_object().unwrap().clone();
                around.remove("traj");
                let rest: Value = serde_json::from_str(run.rest.as_deref().unwrap()).unwrap();
                assert_eq!(rest, Value::Object(around));
            },
        );
    }
    println!("{reused} call ids are used again after their result");
}

#[test]
fn without_a_pointer_the_hint_names_one_that_works() {
    for (set, part) in [
        ("tau-bench", "airline-gpt-4o-4trials"),
        ("agentrx", "tau-retail-traces"),
    ] {
        for path in files(set, part) {
            let bytes = fs::read(&path).unwrap();
            let error = read(Format::OpenaiChat, &bytes, &Options::default()).unwrap_err();
            let hint = error.hint().unwrap();
            let (_, pointer) = hint.split_once("--pointer ").unwrap();
            let pointer = Some(pointer.trim_end_matches('`'));
            let runs = read(
                Format::OpenaiChat,
                &bytes,
                &Options {
                    pointer,
                    agent: None,
                },
            );
            assert_eq!(runs.unwrap().len(), 1, "{}", path.display());
        }
    }
}

#[test]
fn agentrx_runs_are_read_by_pointer() {
    each(
        "agentrx",
        "tau-retail-traces",
        Format::OpenaiChat,
        Some("/traj"),
        |path, runs, file| {
            every_message_is_there(path, &runs[0], file["traj"].as_array().unwrap());
        },
    );
}

#[test]
fn tau2_simulations_are_read_whole() {
    each(
        "tau-bench",
        "tau2-retail-gpt-5",
        Format::OpenaiChat,
        None,
        |path, runs, file| {
            every_message_is_there(path, &runs[0], file["messages"].as_array().unwrap());
            assert_eq!(runs[0].external.as_deref(), file["id"].as_str());
        },
    );
}

#[test]
fn terminal_runs_are_read_whole_and_their_orphans_marked() {
    let mut orphans = 0;
    each(
        "terminal-runs",
        "kimi-k2.5-atif",
        Format::Atif,
        None,
        |path, runs, file| {
            let steps = file["trajectory"]["steps"].as_array().unwrap();
            let list = |step: &Value, pointer: &str| {
                step.pointer(pointer)
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len)
            };
            let calls: usize = steps.iter().map(|step| list(step, "/tool_calls")).sum();
            let results: usize = steps
                .iter()
                .map(|step| list(step, "/observation/results"))
                .sum();
            let [run] = runs else {
                panic!("{} runs", runs.len())
            };
            assert_eq!(run.steps.len(), steps.len() + calls, "{}", path.display());
            let orphaned: Vec<_> = run
                .steps
                .iter()
                .filter(|step| step.marks.orphaned_call)
                .collect();
            assert_eq!(orphaned.len(), calls - results, "{}", path.display());
            assert!(orphaned.iter().all(|step| step.outcome == Outcome::Unknown));
            let failed = run
                .steps
                .iter()
                .filter(|step| matches!(step.outcome, Outcome::Failed { .. }))
                .count();
            let marked = steps
                .iter()
                .filter(|step| {
                    step.pointer("/extra/tool_result_is_error") == Some(&Value::Bool(true))
                })
                .count();
            assert_eq!(failed, marked, "{}", path.display());
            orphans += orphaned.len();
        },
    );
    println!("{orphans} orphaned calls");
}

#[test]
fn who_and_when_histories_have_a_step_an_item() {
    for part in ["algorithm-generated", "hand-crafted"] {
        each(
            "who-and-when",
            part,
            Format::WhoAndWhen,
            None,
            |path, runs, file| {
                let history = file["history"].as_array().unwrap();
                assert_eq!(runs[0].steps.len(), history.len(), "{}", path.display());
                for (step, item) in runs[0].steps.iter().zip(history) {
                    let speaker = item["name"].as_str().or(item["role"].as_str()).unwrap();
                    assert!(speaker.starts_with(&*step.agent), "{}", path.display());
                    assert_eq!(
                        step.to.is_some(),
                        speaker.contains("(->"),
                        "{}",
                        path.display()
                    );
                }
            },
        );
    }
}

#[test]
fn otel_traces_are_trees() {
    each(
        "otel-mas-sim",
        "otel",
        Format::OtlpJson,
        None,
        |path, runs, file| {
            let spans = file["spans"].as_array().unwrap();
            let [run] = runs else {
                panic!("{} runs", runs.len())
            };
            assert_eq!(run.steps.len(), spans.len(), "{}", path.display());
            connected(path, run);
            let failed = run
                .steps
                .iter()
                .filter(|step| matches!(step.outcome, Outcome::Failed { .. }))
                .count();
            let errors = spans
                .iter()
                .filter(|span| span["status"]["status_code"] == "ERROR")
                .count();
            assert_eq!(failed, errors, "{}", path.display());
            assert!(
                run.steps.iter().any(|step| step.to.is_some()),
                "{}",
                path.display()
            );
        },
    );
}

#[test]
fn framework_traces_are_connected_and_whole() {
    let mut count = 0;
    each(
        "framework-traces",
        "framework-traces",
        Format::Langfuse,
        None,
        |path, runs, file| {
            let ids = |list: &Value| -> Vec<String> {
                let items = list.as_array().into_iter().flatten();
                items
                    .map(|item| item["id"].as_str().unwrap().to_owned())
                    .collect()
            };
            let mut all = ids(&file["observations"]);
            all.extend(ids(&file["trace"]["observations"]));
            all.sort();
            all.dedup();
            let [run] = runs else {
                panic!("{} runs", runs.len())
            };
            assert_eq!(run.steps.len(), all.len() + 1, "{}", path.display());
            connected(path, run);
            let sources = run.steps[1..]
                .iter()
                .map(|step| serde_json::from_str::<Value>(&step.source).unwrap());
            let mut kept: Vec<String> = sources
                .map(|source| source["id"].as_str().unwrap().to_owned())
                .collect();
            kept.sort();
            assert_eq!(kept, all, "{}", path.display());
            count += 1;
            let kinds = [Kind::Inference, Kind::ToolCall, Kind::Message, Kind::Step];
            let of = |kind| run.steps.iter().filter(|step| step.kind == kind).count();
            let called = run
                .steps
                .iter()
                .flat_map(|step| &step.links)
                .filter(|link| link.kind == CauseKind::Call);
            println!(
                "{}: {:?}, {} calls found by id",
                path.file_name().unwrap().display(),
                kinds.map(of),
                called.count()
            );
        },
    );
    println!("{count} traces");
}

/// Everything hangs below the first step.
fn connected(path: &Path, run: &Run<'_>) {
    for (index, step) in run.steps.iter().enumerate().skip(1) {
        let parent = step
            .parent
            .unwrap_or_else(|| panic!("{}: step {index} hangs in the air", path.display()));
        assert!(
            step.links
                .iter()
                .any(|link| link.step == parent && link.kind == CauseKind::Parent)
        );
    }
}

#[test]
fn session_logs_of_other_tools_are_refused_with_place_and_reason() {
    for path in files("agent-sessions", "agent-sessions") {
        let bytes = fs::read(&path).unwrap();
        for format in Format::ALL {
            let error = read(format, &bytes, &Options::default()).unwrap_err();
            let shown = error.to_string();
            assert!(
                shown.contains("line ") && shown.contains("found an object with"),
                "{shown}"
            );
        }
        let error = read(Format::OpenaiChat, &bytes, &Options::default()).unwrap_err();
        println!("{}: {error}", path.file_name().unwrap().display());
    }
}

#[test]
fn no_file_of_any_set_makes_a_decoder_panic() {
    let Some(data) = data() else { return };
    for set in fs::read_dir(data).unwrap() {
        let set = set.unwrap().file_name();
        for path in files(set.to_str().unwrap(), set.to_str().unwrap()) {
            let bytes = fs::read(&path).unwrap();
            for format in Format::ALL {
                if let Ok(runs) = read(format, &bytes, &Options::default()) {
                    runs.iter().for_each(check);
                }
            }
        }
    }
}
