//! Each command, once through.

use crate::world::World;

#[test]
fn an_imported_run_is_listed_shown_and_drawn() {
    let world = World::with_refund();
    let runs = world.json(&["runs"]);
    let run = runs["runs"][0]["id"].as_str().unwrap();
    assert_eq!(runs["runs"][0]["decisions"], 7);
    assert_eq!(runs["runs"][0]["statuses"]["succeeded"], 7);
    let short = &run[26..];
    assert!(
        world.ok(&["runs"]).contains(short),
        "a list shows the end of ids"
    );
    assert!(world.ok(&["show", short]).contains("issue_refund()"));
    let tree = world.ok(&["graph", "latest"]);
    assert_eq!(
        tree.lines().count(),
        8,
        "a line for each decision, and a total:\n{tree}"
    );
    let graph = world.json(&["graph", "latest"]);
    assert_eq!(graph["nodes"].as_array().unwrap().len(), 7);
    assert_eq!(
        world.ok(&["graph", "latest", "--format", "json"]),
        world.ok(&["graph", run, "--json"])
    );
    assert!(
        world
            .ok(&["graph", "latest", "--format", "dot"])
            .starts_with("digraph")
    );
    let svg = world.ok(&["graph", "latest", "--format", "svg"]);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
}

#[test]
fn what_agents_believe_is_told_as_far_as_it_can_be_read() {
    let world = World::with_refund();
    let context = world.json(&["context", "latest"]);
    assert_eq!(context["agents"][0]["repaired"], false);
    let text = world.ok(&["context", "latest", "--all"]);
    assert!(text.contains("its history cannot be read"), "{text}");
    world.fails(2, &["context", "ffffffff"]);
    let saved = world.json(&["checkpoints", "latest"]);
    assert_eq!(saved["checkpoints"], serde_json::json!([]));
    let text = world.ok(&["checkpoints", "latest"]);
    assert!(text.contains("no agent of this run has saved"), "{text}");
}

#[test]
fn what_followed_and_why_are_told_with_evidence() {
    let world = World::with_refund();
    let blast = world.ok(&["blast", "latest:4"]);
    assert!(
        blast.contains("certainly followed") && blast.contains("issue_refund()"),
        "{blast}"
    );
    let why = world.ok(&["why", "latest:4", "latest:6"]);
    assert!(
        why.contains("the value at `/payment` was first seen there: `PAY-30552`"),
        "{why}"
    );
    assert!(
        world
            .fails(1, &["why", "latest:6", "latest:4"])
            .contains("does not depend")
    );
    let decision = world.json(&["show", "latest:6"]);
    assert_eq!(decision["decision"]["known"], "reconstructed");
    assert_eq!(decision["decision"]["name"], "issue_refund");
}

#[test]
fn c58_evidence_verifies_where_the_record_is_not() {
    let world = World::with_refund();
    world.ok(&[
        "prove",
        "latest:6",
        "-o",
        "e.json",
        "--disclose",
        "asked",
        "--chain",
    ]);
    let key = world.json(&["keys"])["log"][0].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(world.path("rescind-data")).unwrap();
    assert!(world.ok(&["verify", "e.json"]).contains("proven"));
    assert!(
        world
            .ok(&["verify", "e.json", "--key", &key])
            .contains("proven")
    );
    let text = std::fs::read_to_string(world.path("e.json")).unwrap();
    world.file("e.json", text.replace("PAY-30552", "PAY-30553"));
    assert!(world.fails(1, &["verify", "e.json"]).contains("not proven"));
    world.file("e.json", "{}");
    world.fails(2, &["verify", "e.json"]);
}

#[test]
fn a_file_of_evidence_is_not_overwritten_unasked() {
    let world = World::with_refund();
    world.file("e.json", "mine");
    let said = world.fails(2, &["prove", "latest:6", "-o", "e.json"]);
    assert!(said.contains("--force"), "{said}");
    assert_eq!(
        std::fs::read_to_string(world.path("e.json")).unwrap(),
        "mine"
    );
    world.ok(&["prove", "latest:6", "-o", "e.json", "--force"]);
    assert!(
        world
            .ok(&["prove", "latest:6", "-o", "-"])
            .contains("rescind evidence 1")
    );
}

#[test]
fn c10_erased_content_is_gone_from_the_files_and_the_log_verifies() {
    let world = World::with_refund();
    let said = world.fails(2, &["erase", "latest", "--basis", "request 7", "--yes"]);
    assert!(
        said.contains("kept 183 days") && said.contains("hint:"),
        "{said}"
    );
    let erase = [
        "erase",
        "latest",
        "--basis",
        "request 7",
        "--before-minimum",
    ];
    assert!(
        world.fails(2, &erase).contains("--yes"),
        "nobody is there to be asked"
    );
    let erased = world.json(&[&erase[..], &["--yes"]].concat());
    // Seven decisions, and the opening of the run where it has content.
    assert!(erased["events"].as_u64().unwrap() >= 7);
    let shown = world.ok(&["show", "latest:6"]);
    assert!(
        shown.contains("erased") && !shown.contains("PAY-30552"),
        "{shown}"
    );
    let verified = world.json(&["verify", "--full"]);
    assert_eq!(verified["intact"], true);
    assert_eq!(verified["checked"]["erased"], erased["events"]);
    assert!(
        world
            .ok(&[&erase[..], &["--yes"]].concat())
            .contains("was erased before")
    );
}

#[test]
fn c61_a_hold_stops_an_erasure_until_it_ends() {
    let world = World::with_refund();
    world.ok(&["retain", "--hold", "latest", "--by", "counsel"]);
    let erase = [
        "erase",
        "latest",
        "--basis",
        "x",
        "--before-minimum",
        "--yes",
    ];
    assert!(world.fails(2, &erase).contains("a legal hold by counsel"));
    world.ok(&["retain", "--release", "latest"]);
    assert!(
        world
            .fails(2, &["retain", "--days", "0"])
            .contains("--shorten")
    );
    world.ok(&["retain", "--days", "0", "--shorten"]);
    world.ok(&["erase", "latest", "--basis", "x", "--yes"]);
}

#[test]
fn keys_rotate_and_what_was_signed_stays_valid() {
    let world = World::with_refund();
    let before = world.json(&["keys"]);
    let after = world.json(&["keys", "rotate"]);
    let keys = |view: &serde_json::Value| view["log"].as_array().unwrap().len();
    assert_eq!((keys(&before), keys(&after)), (1, 2));
    assert_eq!(before["log"][0], after["log"][0]);
    assert_eq!(before["witnesses"].as_array().unwrap().len(), 1);
    for key in after["log"].as_array().unwrap() {
        world.ok(&["verify", "--full", "--key", key.as_str().unwrap()]);
    }
    let policy = world.ok(&["keys", "policy"]);
    assert!(
        policy.contains("\nwitness w1 ") && policy.ends_with("quorum w1\n"),
        "{policy}"
    );
    let [old, new] = [0, 1].map(|n| after["log"][n].as_str().unwrap());
    assert_eq!(world.json(&["keys", "retire"]), after, "both stay known");
    world.ok(&["verify", "--full", "--key", new]);
    let signed_by = |key: &str| {
        let note = world.path("rescind-data/log/default/checkpoint");
        let note = std::fs::read_to_string(note).unwrap();
        let name = key.split('+').next().unwrap();
        note.matches(&format!("— {name} ")).count()
    };
    assert_eq!(signed_by(new), 1, "one key signs");
    assert!(!world.call(&["verify", "--key", old]).status.success());
}

#[test]
fn rule_6_reindexing_gives_the_same_answers() {
    let world = World::with_refund();
    let asked: [&[&str]; 4] = [
        &["runs"],
        &["graph", "latest"],
        &["blast", "latest:4"],
        &["show", "latest:6"],
    ];
    let before: Vec<_> = asked.iter().map(|args| world.json(args)).collect();
    std::fs::remove_dir_all(world.path("rescind-data/index")).unwrap();
    assert_eq!(world.json(&["reindex"])["entries"], 9);
    let after: Vec<_> = asked.iter().map(|args| world.json(args)).collect();
    assert_eq!(before, after);
}

#[test]
fn importing_from_standard_input_and_again() {
    let world = World::new();
    let file = std::fs::File::open(world.file("refund.json", crate::world::REFUND)).unwrap();
    let mut command = world.command(&["import", "-", "--format", "openai-chat", "--json"]);
    let output = command.stdin(file).output().unwrap();
    assert!(output.status.success());
    let said = world.ok(&["import", "refund.json", "--format", "openai-chat"]);
    assert!(said.contains("1 runs were in the record already"), "{said}");
}

#[test]
fn help_has_examples_and_every_command_says_what_it_does() {
    let world = World::new();
    let help = world.ok(&["--help"]);
    for command in [
        "import", "runs", "show", "graph", "blast", "why", "verify", "prove",
    ] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} in\n{help}"
        );
        let own = world.ok(&[command, "--help"]);
        assert!(own.contains("Example"), "{own}");
    }
}
