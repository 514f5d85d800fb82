//! Which crate may use which: the table of ARCHITECTURE.md, checked against the resolved graph.
//!
//! Edges between crates of the workspace are read from what each manifest declares, so an unused
//! feature hides nothing. What pure crates reach among third-party crates is followed through the
//! resolved graph, however many crates lie between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Context as _;
use serde::Deserialize;

use super::Finding;
use crate::files::File;

/// Edges between other people's crates that are not followed: the parser that CEL is read with
/// compares ids of grammars, which are constants, and draws none.
const UNUSED: &[(&str, &str)] = &[("antlr4rust", "uuid")];

/// A crate's row: what it may use when it is built, and what only its tests may use.
struct Row {
    name: &'static str,
    uses: &'static [&'static str],
    in_tests: &'static [&'static str],
}

const fn row(
    name: &'static str,
    uses: &'static [&'static str],
    in_tests: &'static [&'static str],
) -> Row {
    Row {
        name,
        uses,
        in_tests,
    }
}

/// Every crate that exists or is designed. A new crate or a new edge is a change of design: it
/// goes here and into ARCHITECTURE.md, with its reason.
const TABLE: &[Row] = &[
    row("model", &[], &[]),
    row("wire", &["model"], &[]),
    row("ledger", &["model"], &[]),
    // Lineage is measured on real runs, which wire reads.
    row("lineage", &["model"], &["wire"]),
    row("context", &["model", "wire"], &[]),
    row("guard", &["model"], &[]),
    row("flow", &["model"], &[]),
    row(
        "recover",
        &["model", "lineage", "context", "guard", "flow"],
        // Plans are carried out on the desk that recorded runs were made on.
        &["service-desk"],
    ),
    row("store", &["model", "ledger"], &[]),
    // The engine knows only the seam; its tests put a real store behind it.
    row("engine", PURE, &["store"]),
    row("gateway", &["model", "wire", "engine"], &["store"]),
    row("server", &["model", "engine"], &["store"]),
    // An MCP server that an undo is shown on, and measured: it knows nothing of us.
    row("service-desk", &[], &[]),
    row("cli", BELOW_CLI, &[]),
    row("python", &["model", "ledger", "engine", "store"], &[]),
    row("sim", ALL, &[]),
    row("load", ALL, &[]),
    row("xtask", &[], &[]),
    // Writes logs and has them checked by programs that other people wrote.
    row("verifiers", &["ledger"], &[]),
];

/// Crates that decide and never act: no clock, no randomness, no files, no runtime.
const PURE: &[&str] = &[
    "model", "wire", "ledger", "lineage", "context", "guard", "flow", "recover",
];

const BELOW_CLI: &[&str] = &[
    "model",
    "wire",
    "ledger",
    "lineage",
    "context",
    "guard",
    "flow",
    "recover",
    "store",
    "engine",
    "gateway",
    "server",
    "service-desk",
];

const ALL: &[&str] = &[
    "model", "wire", "ledger", "lineage", "context", "guard", "flow", "recover", "store", "engine",
    "gateway", "server", "cli", "python",
];

/// Crates that a pure crate must not reach: runtimes, sockets, databases, randomness, clocks.
/// `aws-lc-rs` is not among them, because hashing and signing are pure; clippy bans its random
/// generator.
const FORBIDDEN: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "fastrand",
    "getrandom",
    "heed",
    "hyper",
    "mio",
    "native-tls",
    "openssl",
    "postgres",
    "rand",
    "rand_core",
    "redb",
    "reqwest",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "time",
    "tokio",
    "tokio-postgres",
    "tonic",
    "ureq",
];

/// The part of `cargo metadata` that these checks read.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `null` (normal), `build` or `dev`.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDep>,
}

#[derive(Debug, Deserialize)]
struct NodeDep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Deserialize)]
struct DepKind {
    kind: Option<String>,
}

impl Metadata {
    /// Returns every crate with its version, and the licence that it names.
    pub(super) fn licences(&self) -> Vec<(String, Option<String>)> {
        let named = |p: &Package| (format!("{} {}", p.name, p.version), p.license.clone());
        self.packages.iter().map(named).collect()
    }
}

/// Returns whether `path` is a source file (not a test) of a pure crate.
pub(super) fn pure_source(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("crates")
        && parts.next().is_some_and(|name| PURE.contains(&name))
        && parts.next() == Some("src")
}

/// Checks every edge of the workspace, and what pure crates reach outside it.
pub(super) fn check(metadata: &Metadata, manifests: &[File]) -> anyhow::Result<Vec<Finding>> {
    let members: BTreeMap<&str, &Package> = metadata
        .packages
        .iter()
        .filter(|package| metadata.workspace_members.contains(&package.id))
        .map(|package| (short(&package.name), package))
        .collect();
    let mut findings = Vec::new();
    for (name, package) in &members {
        let manifest = manifest_of(name, manifests);
        let Some(row) = TABLE.iter().find(|row| row.name == *name) else {
            findings.push(Finding::new(
                &manifest.path,
                0,
                format!("crate `{name}` is not in the table of edges"),
                "add it in xtask/src/tidy/edges.rs and ARCHITECTURE.md: what it may use, and why",
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let target = short(&dependency.name);
            if !members.contains_key(target) || target == *name {
                continue;
            }
            let in_tests = dependency.kind.as_deref() == Some("dev");
            let allowed = row.uses.contains(&target) || in_tests && row.in_tests.contains(&target);
            if !allowed {
                let kind = if in_tests { "tests of " } else { "" };
                findings.push(Finding::new(
                    &manifest.path,
                    line_of_dependency(&manifest.text, target),
                    format!("{kind}`{name}` may not use `{target}`"),
                    format!("allowed here: {}", allowed_list(row, in_tests)),
                ));
            }
        }
        if PURE.contains(name) {
            findings.extend(reached(metadata, package, &manifest)?);
        }
    }
    Ok(findings)
}

/// Follows the normal edges from a pure crate to forbidden ones, and reports the shortest way.
fn reached(
    metadata: &Metadata,
    package: &Package,
    manifest: &File,
) -> anyhow::Result<Vec<Finding>> {
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let names: BTreeMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|p| (p.id.as_str(), p.name.as_str()))
        .collect();
    let mut findings = Vec::new();
    let mut seen = BTreeSet::from([package.id.as_str()]);
    let mut queue = VecDeque::from([(package.id.as_str(), vec![short(&package.name)])]);
    while let Some((id, way)) = queue.pop_front() {
        let node = nodes
            .get(id)
            .with_context(|| format!("`{id}` is not in the resolved graph"))?;
        for dep in &node.deps {
            // Build scripts run on the builder's machine, and tests do as they like.
            let normal = dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
            let first_build = way.len() == 1
                && dep
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind.as_deref() == Some("build"));
            if !(normal || first_build) || !seen.insert(&dep.pkg) {
                continue;
            }
            let name = *names
                .get(dep.pkg.as_str())
                .context("a dependency without a package")?;
            if way
                .last()
                .is_some_and(|from| UNUSED.contains(&(*from, name)))
            {
                continue;
            }
            let mut way = way.clone();
            way.push(short(name));
            if FORBIDDEN.contains(&name) {
                findings.push(Finding::new(
                    &manifest.path,
                    line_of_dependency(&manifest.text, way[1]),
                    format!("pure crate reaches `{name}`: {}", way.join(" → ")),
                    "pure crates use no runtime, socket, database, clock or random generator",
                ));
            } else {
                queue.push_back((&dep.pkg, way));
            }
        }
    }
    Ok(findings)
}

fn allowed_list(row: &Row, in_tests: bool) -> String {
    let tests = if in_tests { row.in_tests } else { &[] };
    let names: Vec<&str> = row.uses.iter().chain(tests).copied().collect();
    if names.is_empty() {
        "no crate of the workspace".to_owned()
    } else {
        names.join(", ")
    }
}

fn short(package: &str) -> &str {
    package.strip_prefix("rescind-").unwrap_or(package)
}

fn manifest_of(name: &str, manifests: &[File]) -> File {
    let path = match name {
        "xtask" => "xtask/Cargo.toml".to_owned(),
        "verifiers" => "verifiers/rust/Cargo.toml".to_owned(),
        "service-desk" => "examples/service-desk/Cargo.toml".to_owned(),
        _ => format!("crates/{name}/Cargo.toml"),
    };
    let known = manifests.iter().find(|file| file.path == path).cloned();
    known.unwrap_or(File {
        path,
        text: String::new(),
    })
}

/// Line of the manifest that names `dependency`, or 0.
fn line_of_dependency(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let key: String = line
            .chars()
            .take_while(|c| !matches!(c, ' ' | '.' | '='))
            .collect::<String>();
        key == dependency || key == format!("rescind-{dependency}")
    };
    manifest
        .lines()
        .position(|line| names(line.trim_start()))
        .map_or(0, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a graph from lines `from -> to` and `from -dev-> to`; a dotted name is third-party.
    fn findings(edges: &str) -> Vec<String> {
        let mut names = BTreeSet::new();
        let mut parsed = Vec::new();
        for line in edges.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split(' ');
            let from = words.next().unwrap();
            let kind = match words.next() {
                Some("-dev->") => Some("dev".to_owned()),
                Some("-build->") => Some("build".to_owned()),
                _ => None,
            };
            names.insert(from);
            if let Some(to) = words.next() {
                names.insert(to);
                parsed.push((from, kind, to));
            }
        }
        let package = |name: &str| match name.strip_prefix('.') {
            Some(name) => name.to_owned(),
            None => format!("rescind-{name}"),
        };
        let metadata = Metadata {
            workspace_members: names
                .iter()
                .filter(|name| !name.starts_with('.'))
                .map(|name| package(name))
                .collect(),
            packages: names
                .iter()
                .map(|name| Package {
                    id: package(name),
                    name: package(name),
                    version: "1.0.0".to_owned(),
                    license: None,
                    dependencies: parsed
                        .iter()
                        .filter(|(from, ..)| from == name)
                        .map(|(_, kind, to)| Dependency {
                            name: package(to),
                            kind: kind.clone(),
                        })
                        .collect(),
                })
                .collect(),
            resolve: Resolve {
                nodes: names
                    .iter()
                    .map(|name| Node {
                        id: package(name),
                        deps: parsed
                            .iter()
                            .filter(|(from, ..)| from == name)
                            .map(|(_, kind, to)| NodeDep {
                                pkg: package(to),
                                dep_kinds: vec![DepKind { kind: kind.clone() }],
                            })
                            .collect(),
                    })
                    .collect(),
            },
        };
        check(&metadata, &[])
            .unwrap()
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn an_edge_against_the_direction_is_found() {
        assert_eq!(
            findings("ledger -> store"),
            ["`ledger` may not use `store`"]
        );
        assert_eq!(
            findings("engine -> store"),
            ["`engine` may not use `store`"]
        );
        assert_eq!(
            findings("store -build-> engine"),
            ["`store` may not use `engine`"]
        );
        assert_eq!(
            findings("cli -> sim\nsim -> cli"),
            ["`cli` may not use `sim`"]
        );
        assert_eq!(
            findings("cli -> engine\nengine -> ledger\nledger -> model"),
            [""; 0]
        );
    }

    #[test]
    fn tests_have_only_the_exceptions_of_the_table() {
        assert_eq!(findings("engine -dev-> store"), [""; 0]);
        assert_eq!(
            findings("lineage -> wire"),
            ["`lineage` may not use `wire`"]
        );
        assert_eq!(
            findings("ledger -dev-> store"),
            ["tests of `ledger` may not use `store`"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(
            findings("helpers ."),
            ["crate `helpers` is not in the table of edges"]
        );
    }

    #[test]
    fn a_forbidden_crate_is_found_however_deep() {
        assert_eq!(
            findings("model -> .uuid\n.uuid -> .rand\n.rand -> .getrandom"),
            ["pure crate reaches `rand`: model → uuid → rand"]
        );
        assert_eq!(findings("store -> .tokio"), [""; 0]);
    }

    #[test]
    fn what_only_builds_or_tests_reach_is_let_through() {
        assert_eq!(
            findings("ledger -> .lc\n.lc -build-> .cc\n.cc -> .getrandom"),
            [""; 0]
        );
        assert_eq!(findings("ledger -dev-> .tokio"), [""; 0]);
        assert_eq!(
            findings("ledger -build-> .rand"),
            ["pure crate reaches `rand`: ledger → rand"]
        );
    }

    #[test]
    fn a_finding_names_the_line_of_the_manifest() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nstore.workspace = true\n";
        assert_eq!(line_of_dependency(text, "store"), 4);
        assert_eq!(line_of_dependency(text, "stores"), 0);
    }

    #[test]
    fn the_table_has_no_cycle() {
        let rank = |name: &str| TABLE.iter().position(|row| row.name == name).unwrap();
        for row in TABLE {
            for used in row.uses {
                assert!(rank(used) < rank(row.name), "`{}` uses `{used}`", row.name);
            }
        }
    }
}
