//! Our logs, in front of Rust libraries of other people. `verifiers/run` asks others too.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use verifiers::{ct_merkle, fixture, tlog_tiles};

/// All logs of the fixture, written once.
fn logs() -> &'static Path {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        fixture::write(dir.path(), u64::MAX).unwrap();
        dir
    })
    .path()
}

fn good() -> impl Iterator<Item = PathBuf> {
    fixture::SIZES
        .iter()
        .map(|size| logs().join("logs").join(size.to_string()))
}

fn vkey() -> String {
    std::fs::read_to_string(logs().join("vkey")).unwrap()
}

#[test]
fn tlog_tiles_accepts_every_log_and_reports_the_tampered_one() {
    for log in good() {
        assert_eq!(
            tlog_tiles::check(&log, &vkey()).unwrap(),
            [""; 0],
            "{}",
            log.display()
        );
    }
    let findings = tlog_tiles::check(&logs().join("tampered"), &vkey()).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("entry 2688 "), "{findings:?}");
    let other = vkey().replace("decisions", "others");
    assert!(tlog_tiles::check(&logs().join("logs/3"), &other).is_err());
}

#[test]
fn ct_merkle_accepts_every_log_and_reports_the_tampered_one() {
    for log in good() {
        assert_eq!(
            ct_merkle::check(&log).unwrap(),
            [""; 0],
            "{}",
            log.display()
        );
    }
    let findings = ct_merkle::check(&logs().join("tampered")).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
}
