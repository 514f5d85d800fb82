//! The steps of `cargo xtask test`, as a table, and the commands that each runs.

use std::path::Path;
use std::process::Command;

use super::carry_out;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// What `--only` takes.
    pub(super) name: &'static str,
    /// One line on what it checks.
    pub(super) about: &'static str,
    /// Programs that it needs; see `install`.
    pub(super) needs: &'static [&'static str],
    commands: &'static [Line],
}

/// A command: program, arguments and variables set for it.
#[derive(Debug)]
struct Line {
    program: &'static str,
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

const fn cargo(arguments: &'static [&'static str]) -> Line {
    Line {
        program: "cargo",
        arguments,
        variables: &[],
    }
}

const CC: &[&str] = &["cc"];

/// All steps, cheapest first.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "formatting is rustfmt's",
        needs: &[],
        commands: &[cargo(&["fmt", "--all", "--check"])],
    },
    Step {
        name: "clippy",
        about: "no warning from the compiler or clippy, in code, tests and benchmarks",
        needs: CC,
        commands: &[cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])],
    },
    Step {
        name: "tidy",
        about: "edges between crates, purity, module docs, marks, links and shown commands",
        needs: CC,
        commands: &[cargo(&["xtask", "tidy"])],
    },
    Step {
        name: "test",
        about: "every test of the workspace, and the examples in its documentation",
        needs: CC,
        commands: &[cargo(&[
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
        ])],
    },
    Step {
        name: "docs",
        about: "the code's documentation builds and its links lead somewhere",
        needs: CC,
        commands: &[Line {
            program: "cargo",
            arguments: &["doc", "--workspace", "--no-deps", "--locked"],
            variables: &[("RUSTDOCFLAGS", "-D warnings")],
        }],
    },
    Step {
        name: "reference",
        about: "docs/reference is what the binary says of itself",
        needs: CC,
        commands: &[cargo(&["xtask", "reference", "--check"])],
    },
    Step {
        name: "shown",
        about: "the commands that documents show go through",
        needs: CC,
        commands: &[cargo(&["xtask", "shown"])],
    },
    Step {
        name: "fuzz",
        about: "the fuzz targets of the decoders build",
        needs: CC,
        // `libfuzzer-sys` links without sanitizer flags, so a plain build shows that every target
        // compiles against the crates as they are; running them needs `cargo fuzz`.
        commands: &[Line {
            program: "cargo",
            arguments: &[
                "build",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--target-dir",
                "target/fuzz",
                "--locked",
            ],
            variables: &[("RUSTC_BOOTSTRAP", "1"), ("RUSTFLAGS", "")],
        }],
    },
    Step {
        name: "verifiers",
        about: "foreign programs accept our log and report a tampered copy",
        needs: &["cc", "go", "go-mod", "node", "npm", "python3"],
        // One verifier wants Python 3.12, which not every Debian has, and one checks stamps of ours
        // alone: they may be passed over, and say so.
        commands: &[Line {
            program: "verifiers/run",
            arguments: &["--strict=ABDEFG"],
            variables: &[],
        }],
    },
    Step {
        name: "clients",
        about: "the SDKs that agents use work through the gateway, and notice every fault",
        needs: &["cc", "node", "npm", "python3"],
        commands: &[Line {
            program: "clients/run",
            arguments: &["--strict"],
            variables: &[],
        }],
    },
    Step {
        name: "peers",
        about: "the official clients of MCP and A2A work through the gateway, and each call is \
                recorded as it ended",
        needs: &["cc", "python3"],
        commands: &[Line {
            program: "clients/run-peers",
            arguments: &[],
            variables: &[],
        }],
    },
    Step {
        name: "mcp",
        about: "the MCP conformance suite judges a server alike, directly and through the gateway",
        needs: &["cc", "node", "npm", "python3"],
        commands: &[Line {
            program: "clients/run-mcp",
            arguments: &[],
            variables: &[],
        }],
    },
];

impl Step {
    /// Runs the step's commands in the folder `root`, up to the first that fails.
    pub(super) fn run(&self, root: &Path) -> anyhow::Result<()> {
        for line in self.commands {
            // A program of the project itself is named by its path from the root.
            let own = root.join(line.program);
            let own = line.program.contains('/').then_some(own.as_os_str());
            let mut command = Command::new(own.unwrap_or(line.program.as_ref()));
            command
                .args(line.arguments)
                .envs(line.variables.iter().copied())
                .current_dir(root);
            carry_out(&mut command)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_stops_at_the_first_command_that_fails() {
        let line = |program| Line {
            program,
            arguments: &[],
            variables: &[],
        };
        let step = |commands| Step {
            name: "a",
            about: "b",
            needs: &[],
            commands,
        };
        let root = Path::new("/");
        assert!(step(Box::leak(Box::new([line("true")]))).run(root).is_ok());
        let failing = step(Box::leak(Box::new([
            line("false"),
            line("no-such-program"),
        ])));
        assert!(failing.run(root).unwrap_err().to_string().contains("false"));
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
