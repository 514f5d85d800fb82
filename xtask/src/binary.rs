//! The built `rescind`, for tasks that ask it or run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// Builds the command line and returns where cargo put it.
pub(crate) fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--package", "rescind-cli"])
        .args([
            "--bin",
            "rescind",
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("could not run cargo")?;
    executable(&String::from_utf8_lossy(&output.stdout)).context("`rescind` does not build")
}

/// Finds the file that cargo built among its messages. Guessing the target folder would miss
/// whatever the environment or a configuration file says about it.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_file_is_found_among_the_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\nnoise\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/rescind\"}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/rescind")));
        assert_eq!(executable("{\"executable\":null}"), None);
    }
}
