//! Whatever is changed in the directory, `verify --full` says so.

use std::path::{Path, PathBuf};

use crate::world::World;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
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

#[test]
fn c55_a_flipped_byte_anywhere_in_log_segments_payloads_is_found() {
    let world = World::with_refund();
    world.ok(&["verify", "--full"]);
    let record = world.path("rescind-data");
    let mut checked = 0;
    for file in files(&record) {
        let name = file.strip_prefix(&record).unwrap().display().to_string();
        if !["log/", "segments/", "payloads/", "state/"]
            .iter()
            .any(|part| name.starts_with(part))
        {
            continue;
        }
        let good = std::fs::read(&file).unwrap();
        for at in [
            0,
            good.len() / 3,
            good.len() / 2,
            good.len().saturating_sub(1),
        ] {
            let mut bad = good.clone();
            let Some(byte) = bad.get_mut(at) else {
                continue;
            };
            *byte ^= 1;
            std::fs::write(&file, &bad).unwrap();
            let output = world.call(&["verify", "--full"]);
            let code = output.status.code();
            assert_eq!(
                code,
                Some(1),
                "{name}, byte {at}: {}",
                crate::world::said(&output)
            );
            checked += 1;
        }
        std::fs::write(&file, &good).unwrap();
    }
    assert!(checked >= 16, "{checked} changes were tried");
    world.ok(&["verify", "--full"]);
}

#[test]
fn c55_the_first_bad_entry_is_named() {
    let world = World::with_refund();
    let bundle = world.path("rescind-data/log/default/tile/entries/000.p/9");
    let text = std::fs::read(&bundle).unwrap();
    let at = text
        .windows(12)
        .position(|part| part == b"issue_refund")
        .unwrap();
    let mut bad = text.clone();
    bad[at] = b'I';
    std::fs::write(&bundle, bad).unwrap();
    let output = world.call(&["verify", "--full", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["first_bad"], 6, "{report}");
}

#[test]
fn c56_an_older_copy_is_found_and_refuses_to_sign() {
    let world = World::with_refund();
    let old = world.copy_record("old");
    let text = crate::world::REFUND.replace("48213", "48999");
    world.ok(&[
        "import",
        &world.file("more.json", text),
        "--format",
        "openai-chat",
    ]);
    let old = old.display().to_string();
    let kept = [&old, "rescind-data"].map(|dir| format!("{dir}/log/default/checkpoint"));
    world.ok(&["verify", "--checkpoint", &kept[0], "--checkpoint", &kept[1]]);
    // Without the witness nothing but a checkpoint that was kept knows better.
    world.ok(&["verify", &old, "--no-witness"]);
    for full in [&["--full"][..], &[]] {
        let said = [
            &["verify", &old, "--no-witness", "--checkpoint", &kept[1]],
            full,
        ]
        .concat();
        let said = world.fails(1, &said);
        assert!(said.contains("from entry 9 on"), "{said}");
    }
    let said = world.fails(1, &["verify", &old]);
    assert!(said.contains('9'), "it says from where on: {said}");
    let said = world.fails(2, &["retain", "--days", "9", "--data-dir", &old]);
    assert!(
        said.contains("rollback") && said.contains("hint:"),
        "{said}"
    );
    assert!(said.contains("`rescind continue`"), "{said}");
    world.ok(&["verify", "--full"]);
}

#[test]
fn a_new_log_continues_one_that_is_never_signed_again() {
    let world = World::with_refund();
    let note = world.path("rescind-data/log/default/checkpoint");
    let note = note.to_str().unwrap();
    let here = world.fails(2, &["continue", note]);
    assert!(here.contains("there is a log"), "{here}");
    let no_note = world.fails(2, &["continue", &world.file("x.json", "{}")]);
    assert!(no_note.contains("is no checkpoint"), "{no_note}");
    let old = world.json(&["keys"]);
    let begun = [
        "continue",
        note,
        "--data-dir",
        "new",
        "--origin",
        "a.invalid/log/2",
    ];
    let begun = world.json(&begun);
    assert_eq!(begun["origin"], "a.invalid/log/2");
    assert_eq!(
        (&begun["continues"], &begun["entries"]),
        (&old["origin"], &9.into())
    );
    let more = world.file("more.json", crate::world::REFUND);
    world.ok(&[
        "import",
        &more,
        "--format",
        "openai-chat",
        "--data-dir",
        "new",
    ]);
    let intact = world.ok(&["verify", "--full", "--data-dir", "new"]);
    assert!(intact.contains("a.invalid/log/2, 10 entries"), "{intact}");
    let again = world.fails(2, &["continue", note, "--data-dir", "new"]);
    assert!(again.contains("there is a log"), "{again}");
}
