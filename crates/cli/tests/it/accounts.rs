//! Formats beside the chat: each imports and shows what it could not know.

use crate::world::World;

#[test]
fn c78_the_account_of_an_import_covers_every_field() {
    let world = World::with_refund();
    for number in 1..=7 {
        let shown = world.json(&["show", &format!("latest:{number}")]);
        let account = &shown["decision"]["account"];
        let fields: usize = ["known", "partly", "unknowable"]
            .iter()
            .map(|list| account[list].as_array().unwrap().len())
            .sum();
        assert_eq!(fields, 12, "decision {number}: {account}");
    }
}

#[test]
fn several_agents_of_one_history_are_told_apart() {
    let world = World::new();
    let history = r#"{"question":"q","question_ID":"42","mistake_agent":"Planner","history":[
        {"role":"human","content":"Find the opening hours of the museum in Ulm."},
        {"role":"Orchestrator (-> WebSurfer)","content":"Search for the museum in Ulm."},
        {"role":"WebSurfer","content":"The museum in Ulm opens at 10."},
        {"role":"Orchestrator (termination)","content":"It opens at 10."}]}"#;
    world.ok(&[
        "import",
        &world.file("w.json", history),
        "--format",
        "who-and-when",
    ]);
    let graph = world.json(&["graph", "latest"]);
    let agents: Vec<&str> = graph["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["agent"].as_str().unwrap())
        .collect();
    assert_eq!(
        agents,
        ["human", "Orchestrator", "WebSurfer", "Orchestrator"]
    );
    let why = world.json(&["why", "latest:2", "latest:3"]);
    assert_eq!(why["strength"], "certain", "it was addressed by name");
}
