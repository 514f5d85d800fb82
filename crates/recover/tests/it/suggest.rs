//! Drafts of entries from calls that were seen.

use recover::{Catalogue, Seen, suggest};
use serde_json::{Value, json};

fn seen(tool: &str, arguments: Value, result: Value) -> Seen {
    Seen {
        server: "desk".to_owned(),
        tool: tool.to_owned(),
        arguments,
        result: Some(result),
    }
}

#[test]
fn pairs_of_opposites_become_comments_that_hold_nothing() {
    let known = Catalogue::parse("[tools.ping]\nserver = \"desk\"\n").unwrap();
    let calls = [
        seen(
            "create_ticket",
            json!({"title": "secret title"}),
            json!({"number": 4711}),
        ),
        seen(
            "get_ticket",
            json!({"id": 4711}),
            json!({"title": "secret title"}),
        ),
        seen("createTicketNote", json!({"text": "x"}), json!(null)),
        seen("delete_ticket", json!({"id": 4711}), json!("done")),
        seen("grant access", json!({"who": "ann"}), json!(null)),
        seen("revoke access", json!({"who": "bob"}), json!(null)),
        seen("ping", json!({}), json!(null)),
    ];
    let text = suggest(&calls, &known);
    insta::assert_snapshot!(text, @r#"
    ## `get_ticket` reads by `id`, and these took one that it read: delete_ticket.
    # [resources.ticket]
    # server = "desk"
    # uri    = "ticket/{id}"
    # read   = { tool = "get_ticket", args = { id = "{id}" } }
    ## restore = { tool = …, args = { … = "{fields}" } }   # what puts fields back

    ## Called once, with text.
    # [tools.createTicketNote]
    # server = "desk"
    # class  = "irreversible"   # nothing that was called looks like its undo

    ## Called once, with title.
    # [tools.create_ticket]
    # server = "desk"
    # class  = "compensable"
    # undo   = { tool = "delete_ticket", args = { id = "{result.number}" } }
    ## `delete_ticket` took up a value of it once.

    ## Called once, with id.
    # [tools.delete_ticket]
    # server = "desk"
    # class  = "irreversible"   # nothing that was called looks like its undo
    ## writes = [{ ticket = "{args.id}" }]   # once `[resources.ticket]` holds

    ## Called once, with id.
    # [tools.get_ticket]
    # server = "desk"
    # class  = "read"

    ## Called once, with who.
    # [tools."grant access"]
    # server = "desk"
    # class  = "compensable"
    # undo   = { tool = "revoke access", args = { who = "{args.who}" } }
    ## The names are all that speaks for it.

    ## Called once, with who.
    # [tools."revoke access"]
    # server = "desk"
    # class  = "compensable"
    # undo   = { tool = "grant access", args = { who = "{args.who}" } }
    ## The names are all that speaks for it.
    "#);
    assert!(!text.contains("secret"));
    let nothing = Catalogue::parse(&text).unwrap();
    assert_eq!(nothing.tools().count(), 0);
    // Each draft alone is a catalogue once a mark is taken off each of its lines, and so are all.
    let taken = |text: &str| -> String {
        let lines = text
            .lines()
            .map(|line| line.strip_prefix('#').unwrap_or(line).trim());
        lines.map(|line| format!("{line}\n")).collect()
    };
    for draft in text.split("\n\n") {
        Catalogue::parse(&taken(draft)).unwrap();
    }
    let all = Catalogue::parse(&taken(&text)).unwrap();
    assert_eq!(all.tools().count(), 6);
    assert!(all.names("ticket"));
}
