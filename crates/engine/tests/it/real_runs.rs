//! Real runs, read where they lie: everything imports whole, and every content reads back.

use std::path::{Path, PathBuf};

use ledger::Page;
use wire::import::Format;

use crate::support::{Desk, options};

/// The folder of recorded runs, or none.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find real data through the environment"
)]
fn data() -> Option<PathBuf> {
    let root = std::env::var_os("RESCIND_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if root.is_dir() {
        return Some(root);
    }
    println!("no recorded runs at {}: passing over", root.display());
    None
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn every_recorded_run_imports_whole_and_hangs_together() {
    let Some(data) = data() else { return };
    let sets = [
        (
            "agentrx",
            "tau-retail-traces",
            Format::OpenaiChat,
            Some("/traj"),
        ),
        ("tau-bench", "tau2-retail", Format::OpenaiChat, None),
        (
            "tau-bench",
            "airline-gpt-4o",
            Format::OpenaiChat,
            Some("/0/traj"),
        ),
        ("terminal-runs", "atif", Format::Atif, None),
        ("who-and-when", ".json", Format::WhoAndWhen, None),
        ("framework-traces", ".trace.json", Format::Langfuse, None),
        ("otel-mas-sim", "otel.json", Format::OtlpJson, None),
    ];
    let desk = Desk::open().await;
    for (set, part, format, pointer) in sets {
        for path in files(&data.join(set)) {
            let name = path.strip_prefix(&data).unwrap().display().to_string();
            let labels =
                name.contains("labels") || name.contains("outcomes") || name.contains("common");
            if !name.contains(part) || !name.ends_with(".json") || labels {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let options = engine::ImportOptions {
                pointer,
                ..options(format)
            };
            let decoded = engine::decode_import(&bytes, options);
            let decoded = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
            let imported = desk.engine.import(&decoded, &mut |_, _| {}).await;
            let imported = imported.unwrap_or_else(|error| panic!("{name}: {error}"));
            for run in &imported.runs {
                let graph = desk.graph(&run.id).await;
                assert_eq!(graph.nodes.len() as u64, run.decisions, "{name}");
                let hanging = hanging(&graph);
                assert!(
                    hanging <= 1 + run.orphans as usize,
                    "{name}: {hanging} parts"
                );
            }
        }
    }
    let runs = desk.engine.runs(Page::first(10_000)).await.unwrap();
    println!("{} runs imported", runs.runs.len());
    assert!(runs.runs.iter().all(|run| run.whole));
}

/// In how many unconnected parts a graph falls.
fn hanging(graph: &engine::view::GraphView) -> usize {
    let index: std::collections::HashMap<&str, usize> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (node.id.as_str(), at))
        .collect();
    let mut parent: Vec<usize> = (0..graph.nodes.len()).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    for edge in &graph.edges {
        let (a, b) = (index[edge.cause.as_str()], index[edge.effect.as_str()]);
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a] = b;
    }
    (0..parent.len())
        .filter(|at| root(&mut parent, *at) == *at)
        .count()
}
