//! What goes wrong is said with a position and a hint, and leaves nothing behind.

use crate::world::{REFUND, World, said};

/// Imports a file that must be refused; returns what was said, after checking that nothing of it
/// is in the record and that the record goes on.
fn refused(name: &str, content: impl AsRef<[u8]>, format: &str) -> String {
    let world = World::with_refund();
    let size = world.json(&["verify"])["size"].clone();
    let file = world.file(name, content);
    let said = world.fails(2, &["import", &file, "--format", format]);
    assert!(said.contains("error: could not import"), "{said}");
    assert_eq!(
        world.json(&["verify", "--full"])["size"],
        size,
        "nothing was imported"
    );
    said
}

#[test]
fn truncated_json_is_refused_with_line_and_column() {
    let said = refused("half.json", &REFUND[..REFUND.len() / 2], "openai-chat");
    assert!(said.contains("line 6"), "{said}");
}

#[test]
fn a_wrong_format_is_refused_and_the_right_one_named() {
    let said = refused("chat.json", REFUND, "atif");
    assert!(
        said.contains("hint:") && said.contains("openai-chat"),
        "{said}"
    );
    let world = World::new();
    let said = world.fails(2, &["import", "x", "--format", "openai-chta"]);
    assert!(said.contains("openai-chat"), "{said}");
}

#[test]
fn invalid_utf8_is_refused_with_its_place() {
    let said = refused(
        "bytes.json",
        b"[{\"role\":\"user\",\"content\":\"a\xff\"}]",
        "openai-chat",
    );
    assert!(said.to_lowercase().contains("utf-8"), "{said}");
}

#[test]
fn a_message_of_a_hundred_megabytes_is_refused_with_its_place() {
    let long = "a".repeat(100 << 20);
    let text = format!("[{{\"role\":\"user\",\"content\":\"{long}\"}}]");
    let said = refused("long.json", text, "openai-chat");
    assert!(said.contains("/0"), "{said}");
    assert!(said.len() < 1_000, "the message is not repeated");
}

#[test]
fn duplicate_ids_and_circles_are_refused() {
    let span = |id: &str, parent: &str| {
        format!(
            r#"{{"traceId":"0123456789abcdef0123456789abcdef","spanId":"{id}","parentSpanId":"{parent}",
            "name":"s","startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[]}}"#
        )
    };
    let trace = |spans: &[String]| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        )
    };
    let (a, b) = ("00000000000000aa", "00000000000000bb");
    let said = refused(
        "twice.json",
        trace(&[span(a, ""), span(a, "")]),
        "otlp-json",
    );
    assert!(said.contains(a), "{said}");
    let said = refused("circle.json", trace(&[span(a, b), span(b, a)]), "otlp-json");
    assert!(said.contains(a) && said.contains(b), "{said}");
}

#[test]
fn two_hundred_thousand_tiny_messages_go_in() {
    let world = World::new();
    let mut text = String::from("[");
    for n in 0..200_000 {
        text.push_str(if n == 0 { "" } else { "," });
        text.push_str("{\"role\":\"user\",\"content\":\"x\"}");
    }
    text.push(']');
    let file = world.file("tiny.json", text);
    let imported = world.json(&["import", &file, "--format", "openai-chat"]);
    assert_eq!(imported["files"][0]["decisions"], 200_000);
    let shown = world.json(&["runs"]);
    assert_eq!(shown["runs"][0]["decisions"], 200_000);
}

#[test]
fn one_bad_file_of_several_keeps_the_others_out() {
    let world = World::new();
    let good = world.file("good.json", REFUND);
    let bad = world.file("bad.json", "[");
    let said = world.fails(2, &["import", &good, &bad, "--format", "openai-chat"]);
    assert!(said.contains("bad.json"), "{said}");
    assert!(!world.path("rescind-data").exists(), "nothing was created");
}

#[test]
fn ids_that_try_to_leave_the_directory_are_refused() {
    let world = World::with_refund();
    for id in [
        "../../etc/passwd",
        "..",
        "/etc/passwd",
        "latest:../1",
        "%2e%2e",
        "",
    ] {
        world.fails(2, &["show", id]);
        world.fails(2, &["prove", id, "-o", "e.json"]);
    }
    for realm in ["../x", "a/b", "", "A"] {
        let said = world.fails(2, &["runs", "--realm", realm]);
        assert!(said.contains("realm"), "{said}");
    }
}

#[test]
fn there_is_a_hint_where_there_is_no_record() {
    let world = World::new();
    for args in [&["runs"][..], &["show", "latest"], &["reindex"], &["keys"]] {
        let said = world.fails(2, args);
        assert!(
            said.contains("there is no record") && said.contains("hint:"),
            "{said}"
        );
    }
    assert!(
        !world.path("rescind-data").exists(),
        "looking creates nothing"
    );
    assert!(world.fails(2, &["verify"]).contains("hint:"));
}

#[test]
fn with_json_a_failure_is_one_object_too() {
    let world = World::with_refund();
    let output = world.call(&["show", "ffffffff", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        object["error"]
            .as_str()
            .unwrap()
            .contains("nothing in the record")
    );
    assert!(object["hint"].is_string());
}

#[test]
fn recorded_text_cannot_act_on_the_terminal() {
    let world = World::new();
    let text = r#"[{"role":"user","content":"hi \u001b[2J\u001b]0;owned\u0007 \u202egnp.exe"}]"#;
    world.ok(&[
        "import",
        &world.file("esc.json", text),
        "--format",
        "openai-chat",
    ]);
    for args in [
        &["show", "latest:1"][..],
        &["show", "latest"],
        &["graph", "latest"],
    ] {
        let shown = world.ok(args);
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
            "{shown:?}"
        );
    }
}

#[test]
fn recorded_names_cannot_pass_for_lines_of_ours() {
    let world = World::new();
    let text = r#"[{"role":"user","name":"eve\n0123456789 forged","content":"hi"}]"#;
    let said = world.ok(&[
        "import",
        &world.file("n.json", text),
        "--format",
        "openai-chat",
    ]);
    let shown = [
        said,
        world.ok(&["runs"]),
        world.ok(&["show", "latest"]),
        world.ok(&["graph", "latest"]),
    ];
    for text in shown {
        assert!(text.contains("forged"), "{text}");
        assert!(
            !text.lines().any(|line| line.starts_with("0123456789")),
            "{text}"
        );
    }
}

#[test]
fn a_second_writer_is_told_who_holds_the_record() {
    let world = World::with_refund();
    // The lock of a running process is imitated by taking it here.
    let lock = std::fs::File::options()
        .write(true)
        .open(world.path("rescind-data/LOCK"))
        .unwrap();
    lock.lock().unwrap();
    let said = world.fails(2, &["retain", "--days", "10"]);
    assert!(
        said.contains("is in use by") && said.contains("hint:"),
        "{said}"
    );
    world.ok(&["runs"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_to_do() {
    let world = World::new();
    std::fs::create_dir(world.path("runs")).unwrap();
    for (file, hint) in [("nowhere.json", "check the path"), ("runs", "DIR/*.json")] {
        let said = world.fails(2, &["import", file, "--format", "openai-chat"]);
        let error = format!("could not read `{file}`");
        assert!(said.contains(&error) && said.contains("hint:"), "{said}");
        assert!(said.contains(hint), "{said}");
    }
    assert!(!world.path("rescind-data").exists());
}

#[test]
fn a_key_that_is_none_is_refused_in_one_sentence() {
    let world = World::with_refund();
    let said = world.fails(2, &["verify", "--key", "x"]);
    assert_eq!(said.matches("verifier key").count(), 1, "{said}");
    assert!(said.contains("error: `x`: not a verifier key"), "{said}");
    assert!(said.contains("rescind keys"), "{said}");
}

#[test]
fn who_asks_to_roll_back_a_list_is_shown_the_list() {
    let world = World::with_refund();
    let said = world.fails(2, &["rollback", "list", "--dry-run"]);
    assert!(said.contains("hint: `rescind rollbacks`"), "{said}");
}

#[test]
fn an_agent_that_nobody_saw_is_held_all_the_same_and_that_is_said() {
    let world = World::with_refund();
    let output = world.call(&["quarantine", "bilingual"]);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("bilingual  held by operator"), "{told}");
    assert!(
        told.contains("note: no decision of an agent `bilingual`"),
        "{told}"
    );
    assert_eq!(
        world.json(&["quarantine", "bilingual"])["unseen"],
        "bilingual"
    );
    let run = world.json(&["runs"]);
    let known = run["runs"].as_array().unwrap().iter();
    let mut known = known.filter_map(|run| run["agents"][0].as_str());
    let known = known.find(|agent| *agent != "operator").unwrap();
    assert!(world.json(&["quarantine", known]).get("unseen").is_none());
    assert!(world.json(&["quarantine"]).get("unseen").is_none());
}

#[test]
fn a_missing_index_is_told_with_the_command_that_makes_it() {
    let world = World::with_refund();
    std::fs::remove_dir_all(world.path("rescind-data/index")).unwrap();
    let told = said(&world.call(&["runs"]));
    assert!(told.contains("note: the index is missing"), "{told}");
    assert!(told.contains("`rescind reindex` makes it anew"), "{told}");
    world.ok(&["reindex"]);
    let told = said(&world.call(&["runs"]));
    assert!(!told.contains("note:"), "{told}");
}
