//! What a catalogue says about calls, and what is wrong with one.

use std::collections::{BTreeMap, BTreeSet};

use model::{ClassSource, EffectClass};
use recover::Catalogue;
use recover::catalogue::{Inverse, KeyPlace, Listed, Made};
use serde_json::{Value, json};

const SHOP: &str = r#"
server = "shop"

[resources.order]
uri     = "orders/{id}"
read    = { tool = "read_order", args = { id = "{id}" } }
restore = { tool = "write_order", args = { id = "{id}", fields = "{fields}", version = "{version}" } }
delete  = { tool = "drop_order", args = { id = "{id}", version = "{version}" } }
version = "/version"
absent  = "no such order"
conflict = "keep-newer"
keep    = ["/notes"]

[resources.user]
uri  = "users/{id}"
read = { tool = "read_user", args = { id = "{id}" } }

[tools.ship]
class    = "compensable"
reads    = [{ user = "{before.order.owner}", fields = ["/address"] }]
writes   = [{ order = "{args.order_id}" }]
volatile = ["/note"]
key      = "/key"
undo     = { tool = "recall", args = { parcel = "{result.parcel}" }, exact_if = "args.days < 2", residue = "postage" }
probe    = { tool = "read_order", args = { id = "{args.order_id}" }, happened = "result.status == 'shipped'" }
tell     = ["customer"]

[tools.make]
writes = [{ order = "{result.id}" }]
key    = { meta = "shop/key" }
"#;

fn shop() -> Catalogue {
    Catalogue::parse(SHOP).unwrap()
}

/// What is wrong with a catalogue: line, column, what and hint.
fn wrong(text: &str) -> String {
    let problems = Catalogue::parse(text).unwrap_err();
    let line = |p: &recover::catalogue::Problem| format!("{p}\n     {}", p.hint);
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_desks_of_the_recorded_runs_are_described_without_mistake() {
    for text in [
        include_str!("desk/retail.toml"),
        include_str!("desk/airline.toml"),
    ] {
        if let Err(problems) = Catalogue::parse(text) {
            panic!("{problems:#?}");
        }
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    insta::assert_snapshot!(wrong(r#"
[resources.order]
server  = "shop"
uri     = "orders/{key}"
read    = { tol = "read_order" }
conflict = "restore_field"
keep    = ["notes.private"]

[tools.ship]
server  = "shop"
clas    = "compensable"
reads   = [{ ordr = "{args.id}" }, { order = "{result.id}" }]
writes  = [{ order = "{before.user.order}" }, { order = "{args.id" }]
volatile = "/note"
shows   = ["user"]
undo    = { tool = "recall", args = { id = "{resutl.id}", of = "{before.basket.id}" }, exact_if = "arg.days < 2" }
probe   = { tool = "read_order", happened = "result.status = 'shipped'" }
needs   = "befor.order.open && before.basket.open && siz(args.items) > 0"

[tools.lost]
class = "reed"
"#), @"
    4:11: `{key}` cannot be filled here
         a hole here begins with `id`
    5:11: `resources.order.read.tool` is missing
         every option is in the reference
    5:13: unknown option `resources.order.read.tol`
         did you mean `tool`?
    6:12: `resources.order.conflict` cannot be `restore_field`
         did you mean `restore-field`?
    7:12: `notes.private` is not a JSON Pointer
         write `/notes/private`
    11:1: unknown option `tools.ship.clas`
         did you mean `class`?
    12:14: there is no resource `ordr`
         did you mean `order`?
    12:38: `{result.id}` cannot be filled here
         a hole here begins with `args`, `before`
    13:12: two records are called `order`
         give one of them another name with `as`
    13:49: `{args.id` has a `{` without its `}`
         a hole is `{args.order_id}`; a brace that is meant is doubled
    14:12: `tools.ship.volatile` must be a list, and this is a text
         the form of each option is in the reference
    15:12: the tool names no record `user`
         known here: `order`
    16:37: `{before.basket.id}` cannot exist: the tool names no such record
         known here: `order`
    16:39: `{resutl.id}` cannot be filled here
         did you mean `result`?
    16:99: there is no variable `arg`
         did you mean `args`?
    17:45: this is not an expression in CEL: Syntax error: token recognition error at: '= '; Syntax error: extraneous input ''shipped'' expecting <EOF>
         write a condition such as `args.amount > 0`, over `args`, `result`, `before`
    18:11: there is no variable `befor`
         did you mean `before`?
    18:11: `before.basket` cannot exist: the tool names no such record
         known here: `order`
    18:11: there is no function `siz`
         did you mean `size`?
    20:8: `tools.lost.server` is missing
         name the server in `[mcp.<server>]`, here or once at the top of the file
    21:9: `tools.lost.class` cannot be `reed`
         did you mean `read`?
    ");
}

#[test]
fn a_way_back_that_cannot_be_gone_is_told_before_anything_is_called() {
    let user = SHOP.find("[tools.ship]").unwrap();
    let resources = &SHOP[..user];
    let told = |tool: &str| wrong(&format!("{resources}[tools.x]\n{tool}"));
    for (tool, what) in [
        (
            "writes = [{ user = \"{args.id}\" }]\nundo = { restore = true }",
            "`tools.x` is to be taken back by putting `user` back, which no tool does",
        ),
        (
            "undo = { restore = true }",
            "`tools.x` is to be taken back by putting records back, and names none",
        ),
        (
            "class = \"read\"\nundo = { tool = \"recall\" }",
            "`tools.x` is said to read only, and how it is taken back",
        ),
    ] {
        let told = told(tool);
        assert!(told.contains(what), "{told}");
    }
    let kept = "writes = [{ order = \"{args.id}\" }]\nundo = { restore = true }";
    Catalogue::parse(&format!("{resources}[tools.x]\n{kept}")).unwrap();
}

#[test]
fn what_is_not_toml_is_told_where_it_begins() {
    insta::assert_snapshot!(wrong("[tools.ship]\nclass = compensable\n"), @"
    2:9: this is not TOML: string values must be quoted, expected literal string
         what comes after this is read once it is right
    ");
}

#[test]
fn a_catalogue_is_held_against_what_its_server_has() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let tool = |name: &str, arguments: &[&str], results: &[&str]| Listed {
        name: name.to_owned(),
        arguments: Some(names(arguments)),
        required: names(&arguments[..1]),
        results: (!results.is_empty()).then(|| names(results)),
    };
    let listed = [
        tool("read_order", &["id"], &[]),
        tool("read_user", &["user"], &[]),
        tool("write_order", &["id", "fields", "if_version"], &[]),
        tool("ship", &["order", "note", "key"], &["status"]),
        tool("recall", &["parcel"], &[]),
        tool("drop_orders", &["id", "version"], &[]),
    ];
    let problems = shop().check("shop", &listed);
    let line = |p: &recover::catalogue::Problem| format!("{p}\n     {}", p.hint);
    insta::assert_snapshot!(problems.iter().map(line).collect::<Vec<_>>().join("\n"), @"
    7:20: `write_order` takes no argument `version`
         did you mean `if_version`?
    8:20: the server `shop` has no tool `drop_order`
         did you mean `drop_orders`?
    16:17: `read_user` takes no argument `id`
         known here: `user`
    16:17: `read_user` needs the argument `user`
         add it to `args`
    21:13: `{args.order_id}` cannot be there: `ship` takes no `order_id`
         known here: `key`, `note`, `order`
    24:21: `{result.parcel}` cannot be there: `ship` gives no `parcel`
         known here: `status`
    25:21: `{args.order_id}` cannot be there: `ship` takes no `order_id`
         known here: `key`, `note`, `order`
    28:8: the server `shop` has no tool `make`
         known here: `read_order`, `read_user`, `write_order`, `ship`, `recall`, `drop_orders`
    ");
    assert_eq!(shop().check("another", &[]), []);
}

#[test]
fn a_listing_says_what_a_tool_takes_and_gives() {
    let open = json!({"name": "a", "inputSchema": {"properties": {"x": {}}, "additionalProperties": true}});
    assert_eq!(Listed::read(&open).unwrap().arguments, None);
    let closed = json!({"name": "a", "inputSchema": {"properties": {"x": {}}, "required": ["x"]}});
    let read = Listed::read(&closed).unwrap();
    assert_eq!(read.arguments, Some(BTreeSet::from(["x".to_owned()])));
    assert_eq!(read.required, BTreeSet::from(["x".to_owned()]));
    assert_eq!(Listed::read(&json!({"title": "no name"})), None);
}

#[test]
fn the_operators_word_on_a_class_goes_before_the_servers() {
    let shop = shop();
    let read = Some((EffectClass::Read, ClassSource::Annotations));
    let said = |tool, said| shop.class("shop", tool, said);
    assert_eq!(
        said("ship", read),
        (EffectClass::Compensable, ClassSource::Catalogue)
    );
    assert_eq!(
        said("make", read),
        (EffectClass::Read, ClassSource::Annotations)
    );
    assert_eq!(
        said("other", None),
        (EffectClass::Unreviewed, ClassSource::Nobody)
    );
}

#[test]
fn images_are_read_one_after_the_other() {
    let shop = shop();
    let args = json!({"order_id": "W1", "note": "now"});
    let mut reads = shop.images("shop", "ship", &args);
    let order = reads.ask().unwrap().clone();
    assert_eq!(
        (order.uri.as_str(), &order.read.arguments),
        ("orders/W1", &json!({"id": "W1"}))
    );
    let answer = json!({"owner": "U7", "status": "open", "version": 3});
    let image = order.image(Ok(&answer)).unwrap();
    assert_eq!(image.version, Some(json!(3)));
    reads.give(image.record);
    assert_eq!(reads.ask().unwrap().uri, "users/U7");
    reads.give(None);
    assert_eq!(reads.ask(), None);
    let images = reads.finish();
    let footprint = shop.footprint("shop", "ship", &args, None, &images);
    let uris = |of: Vec<model::Resource>| of.into_iter().map(|r| r.uri).collect::<Vec<_>>();
    // Nobody said what the order is read for, so it counts as read.
    assert_eq!(uris(footprint.reads()), ["orders/W1", "users/U7"]);
    assert_eq!(uris(footprint.writes()), ["orders/W1"]);
    assert_eq!(footprint.arguments, json!({"order_id": "W1"}));
    assert_eq!(footprint.key, Some(KeyPlace::Argument("/key".into())));
    assert_eq!(footprint.before, json!({"order": answer, "user": null}));
}

#[test]
fn a_record_is_absent_only_if_its_read_says_so() {
    let order = shop().record("order", &json!("W1")).unwrap();
    assert_eq!(order.image(Err("no such order: W1")).unwrap().record, None);
    let error = order.image(Err("connection refused")).unwrap_err();
    assert_eq!(error, "could not read `orders/W1`: connection refused");
}

#[test]
fn a_record_that_a_call_makes_is_known_once_it_was_made() {
    let shop = shop();
    let (args, none) = (json!({}), BTreeMap::new());
    assert_eq!(shop.images("shop", "make", &args).ask(), None);
    let before = shop.footprint("shop", "make", &args, None, &none);
    assert_eq!((before.touches, before.lacks), (vec![], vec![]));
    let made = json!({"id": "W9"});
    let after = shop.footprint("shop", "make", &args, Some(&made), &none);
    assert_eq!(after.touches[0].record.uri, "orders/W9");
    assert_eq!(after.key, Some(KeyPlace::Meta("shop/key".into())));
    // A result that lacks the id is told, not passed over.
    let lacking = shop.footprint("shop", "make", &args, Some(&json!({})), &none);
    assert_eq!(lacking.lacks[0].to_string(), "there is no `result.id`");
}

fn inverse(args: &Value, result: Option<&Value>) -> Inverse {
    let before = json!({});
    let made = Made {
        args,
        result,
        before: &before,
    };
    shop().inverse("shop", "ship", &made)
}

#[test]
fn an_inverse_is_exact_where_its_condition_shows_it() {
    let (soon, late) = (json!({"days": 1}), json!({"days": 2}));
    let result = json!({"parcel": 17});
    let Inverse::Exact(call) = inverse(&soon, Some(&result)) else {
        panic!("not exact");
    };
    assert_eq!(
        (call.tool.as_str(), call.arguments),
        ("recall", json!({"parcel": 17}))
    );
    assert!(
        matches!(inverse(&late, Some(&result)), Inverse::Residue(_, text) if text == "postage")
    );
    // A condition that cannot be computed shows nothing.
    assert!(matches!(
        inverse(&json!({}), Some(&result)),
        Inverse::Residue(..)
    ));
    assert!(matches!(inverse(&soon, None), Inverse::Lacks(lack) if lack.hole == "result.parcel"));
}

#[test]
fn a_probe_tells_whether_an_effect_happened() {
    let shop = shop();
    let (args, before) = (json!({"order_id": "W1"}), json!({}));
    let made = Made {
        args: &args,
        result: None,
        before: &before,
    };
    let (call, happened) = shop.probe("shop", "ship", &made).unwrap().unwrap();
    assert_eq!(
        (call.tool.as_str(), happened.as_str()),
        ("read_order", "result.status == 'shipped'")
    );
    let asked = |answer: Value| shop.happened("shop", "ship", &made, &answer);
    assert_eq!(asked(json!({"status": "shipped"})), Ok(true));
    assert_eq!(asked(json!({"status": "open"})), Ok(false));
    assert!(asked(json!("down")).is_err());
}
