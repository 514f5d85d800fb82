//! What the steps need besides cargo, and how it gets onto the machine.
//!
//! Programs come as Debian packages, by name, and only when the program is missing; anything else
//! that a step wants (packages of Python or npm at pinned versions) it puts into the target folder
//! by itself. Nothing is installed without having been announced.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::carry_out;
use super::steps::Step;

/// Something outside of the project that a step needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// The name in a step's `needs`.
    name: &'static str,
    /// How to see that it is there.
    sign: Sign,
    /// The Debian package that has it.
    package: &'static str,
    /// What it is for.
    reason: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Sign {
    /// A program in the search path that ends well when it is called with these arguments.
    Program(&'static str, &'static [&'static str]),
    /// A file or folder.
    Path(&'static str),
}

const NEEDS: &[Need] = &[
    Need {
        name: "cc",
        sign: Sign::Program("cc", &["--version"]),
        package: "build-essential",
        reason: "a C compiler for SQLite, zstd and AWS-LC",
    },
    Need {
        name: "go",
        sign: Sign::Program("go", &["version"]),
        package: "golang-go",
        reason: "builds the verifier on the Go checksum database's own code",
    },
    Need {
        name: "go-mod",
        sign: Sign::Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog"),
        package: "golang-golang-x-mod-dev",
        reason: "the Go checksum database's own code",
    },
    Need {
        name: "node",
        sign: Sign::Program("node", &["--version"]),
        package: "nodejs",
        reason: "runs the verifier on a Sigstore client",
    },
    Need {
        name: "npm",
        sign: Sign::Program("npm", &["--version"]),
        package: "npm",
        reason: "fetches the Sigstore client",
    },
    Need {
        name: "python3",
        // Debian has Python without the part that makes environments.
        sign: Sign::Program("python3", &["-c", "import ensurepip, venv"]),
        package: "python3-venv",
        reason: "runs the verifiers written in Python",
    },
];

/// Returns what `steps` need and the machine lacks.
pub(super) fn missing(steps: &[&Step]) -> Vec<&'static Need> {
    needed(steps)
        .into_iter()
        .filter(|need| !present(&need.sign))
        .collect()
}

fn needed(steps: &[&Step]) -> Vec<&'static Need> {
    NEEDS
        .iter()
        .filter(|need| steps.iter().any(|step| step.needs.contains(&need.name)))
        .collect()
}

fn present(sign: &Sign) -> bool {
    match sign {
        Sign::Path(path) => Path::new(path).exists(),
        Sign::Program(program, arguments) => Command::new(program)
            .args(*arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
    }
}

/// Says what is about to be installed, and where.
pub(super) fn announce(missing: &[&Need], no_install: bool) -> String {
    if missing.is_empty() {
        return "Nothing to install: every program that the steps need is there.".to_owned();
    }
    let verb = if no_install {
        "Missing, and not installed as asked"
    } else {
        "Installs"
    };
    let mut text = format!("{verb}: Debian packages, system-wide, with apt-get:\n");
    for need in missing {
        text.push_str(&format!("\n  {:<24} {}", need.package, need.reason));
    }
    text
}

/// Installs the packages of `missing`.
pub(super) fn install(missing: &[&Need]) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !present(&Sign::Program("apt-get", &["--version"])) {
        bail!(
            "no `apt-get` here; install by hand what these Debian packages hold: {}",
            packages.join(" ")
        );
    }
    apt_get(&["update"])?;
    apt_get(
        &[
            &["install", "--yes", "--no-install-recommends"],
            packages.as_slice(),
        ]
        .concat(),
    )
    .with_context(|| format!("could not install {}", packages.join(" ")))
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    // Set through `env`, because sudo does not hand variables on.
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    let sudo: &[&str] = if is_root()? { &[] } else { &["sudo"] };
    let words = [sudo, &quiet, arguments].concat();
    carry_out(Command::new(words[0]).args(&words[1..]))
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("could not run `id -u`")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::steps::STEPS;

    #[test]
    fn every_need_of_a_step_is_known() {
        for step in STEPS {
            for need in step.needs {
                assert!(NEEDS.iter().any(|known| known.name == *need), "`{need}`");
            }
        }
    }

    #[test]
    fn only_what_the_chosen_steps_need_is_asked_for() {
        let step = |name: &str| STEPS.iter().find(|step| step.name == name).unwrap();
        let names = |steps: &[&Step]| needed(steps).iter().map(|n| n.name).collect::<Vec<_>>();
        assert_eq!(names(&[step("format")]), [""; 0]);
        assert_eq!(names(&[step("format"), step("clippy")]), ["cc"]);
        assert!(names(&[step("verifiers")]).contains(&"go"));
    }

    #[test]
    fn presence_is_seen() {
        assert!(present(&Sign::Path("/")));
        assert!(!present(&Sign::Path("/no/such/folder")));
        assert!(!present(&Sign::Program(
            "no-such-program-anywhere",
            &["--version"]
        )));
        assert!(!present(&Sign::Program("false", &["--version"])));
    }

    #[test]
    fn what_is_installed_is_announced() {
        let go = NEEDS.iter().find(|need| need.name == "go").unwrap();
        assert!(announce(&[go], false).contains("golang-go"));
        assert!(announce(&[go], true).starts_with("Missing"));
        assert!(announce(&[], false).starts_with("Nothing"));
    }
}
