//! The files of the project, as the tasks see them: paths relative to the root, `/` between parts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Folders that hold what was built, downloaded or recorded, not what was written.
const SKIPPED: &[&str] = &[
    "target",
    ".git",
    "node_modules",
    "rescind-data",
    "__pycache__",
];

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("xtask lies in a folder of the workspace")
        .to_path_buf()
}

/// A text file of the project.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Path relative to the root.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

/// Returns every file below `root` whose name ends in one of `endings`, sorted by path.
pub(crate) fn find(root: &Path, endings: &[&str]) -> anyhow::Result<Vec<File>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("could not list `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(entry.path());
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let path = entry.path();
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("could not read `{}`", path.display()))?;
                let path = path
                    .strip_prefix(root)
                    .expect("the walk stays below the root");
                found.push(File {
                    path: path.to_string_lossy().replace('\\', "/"),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
