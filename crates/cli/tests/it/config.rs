//! The configuration: what is read, from where, and what is said of mistakes.

use insta::assert_snapshot;
use serde_json::Value;

use crate::world::{World, said};

/// Checks a `rescind.toml` that is wrong.
fn wrong(toml: &str) -> String {
    let world = World::new();
    world.file("rescind.toml", toml);
    world.fails(1, &["config", "check"])
}

/// Checks a `rescind.toml` that only has warnings, or nothing.
fn right(toml: &str) -> String {
    let world = World::new();
    world.file("rescind.toml", toml);
    world.ok(&["config", "check"])
}

/// An option's value and source, as `config show --json` tells it.
fn shown(object: &Value, name: &str) -> String {
    let options = object["options"].as_array().unwrap();
    let option = options.iter().find(|option| option["name"] == name);
    let option = option.unwrap_or_else(|| panic!("no {name} in {object}"));
    let place = option["place"].as_str().unwrap_or("");
    format!(
        "{} {} {place}",
        option["value"],
        option["source"].as_str().unwrap()
    )
}

#[test]
fn without_a_file_everything_has_a_default() {
    let world = World::new();
    assert_snapshot!(world.ok(&["config", "check"]), @"no file, so defaults: nothing is wrong");
    assert_snapshot!("defaults", world.ok(&["config", "show"]));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_a_way_out() {
    let said = wrong(
        r#"
listne = "127.0.0.1:80"
mode = "enforc"
tools = 5
realm = "Team A"
allowed_hosts = ["https://a.example"]

[upstreams.openai]
url = "api.openai.com/v1"
listen = "127.0.0.1:80"
base_url = "https://b.example"

[[upstreams.groq]]
headers = { "x team" = "a", host = "b", authorization = { var = "KEY" } }

[limits]
body_bytes_max = "64 MiB"
connections_max = 0

[timeouts]
idle_ms = "5s"
total_ms = 1.5

[record]
redact_patterns = ['sk-[a-z', 'order-\d+', '.*']
on_outage_tools = "drop"

[mcp."a/b"]
command = "server"

[[tokens]]
name = "build server"
role = "admin"
sha256 = "rescind_this-is-the-token-itself"
"#,
    );
    assert_snapshot!(said);
}

#[test]
fn c74_a_store_that_this_version_does_not_have_is_refused_by_every_command() {
    let world = World::with_refund();
    world.file(
        "rescind.toml",
        "[store]\npostgres = \"postgres://me:hunter2@db/rescind\"\n",
    );
    let check = world.fails(1, &["config", "check"]);
    assert_snapshot!(check, @r"
    error: rescind.toml:2:12: `store.postgres` is not supported yet by this version
      hint: leave it out to record into `data_dir`; nothing is recorded elsewhere than you said
    rescind.toml: 1 error, 0 warnings
    ");
    for args in [&["runs"][..], &["config", "show"], &["reindex"]] {
        let said = world.fails(2, args);
        assert!(
            said.contains("`store.postgres` is not supported yet"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_told_by_its_first_mistake() {
    assert_snapshot!(wrong("mode = \"observe\"\nlisten = 127.0.0.1:7373\n[[\n"), @r"
    error: rescind.toml:2:15: this is not TOML: invalid float, expected nothing
      hint: a text stands between quotes; what comes after this is read once it is right
    rescind.toml: 1 error, 0 warnings
    ");
    assert_snapshot!(wrong("mode = \"observe\"\nmode = \"enforce\"\n"), @r"
    error: rescind.toml:2:1: this is not TOML: duplicate key
      hint: a text stands between quotes; what comes after this is read once it is right
    rescind.toml: 1 error, 0 warnings
    ");
    let world = World::new();
    world.file("rescind.toml", b"mode = \"observe\"\nrealm = \"\xff\"\n");
    assert_snapshot!(world.fails(1, &["config", "check"]), @r"
    error: rescind.toml:2:10: the file is not valid UTF-8 from here on
      hint: save it as UTF-8
    rescind.toml: 1 error, 0 warnings
    ");
}

#[test]
fn the_catalogue_of_tools_is_checked_with_the_configuration() {
    let world = World::new();
    world.file(
        "rescind.toml",
        "tools = \"tools.toml\"\nmcp.desk.url = \"http://127.0.0.1:9/mcp\"\n",
    );
    world.file(
        "tools.toml",
        r#"
server = "desk"

[resources.order]
uri  = "orders/{id}"
read = { tool = "get_order", args = { id = "{id}" } }

[tools.cancel_order]
class  = "reversable"
writes = [{ orders = "{args.id}" }]
undo   = { tool = "reopen_order", args = { id = "{result.id}" }, exact_if = "arguments.open" }
"#,
    );
    assert_snapshot!(world.fails(1, &["config", "check"]), @r"
    error: tools.toml:9:10: `tools.cancel_order.class` cannot be `reversable`
      hint: did you mean `reversible`?
    error: tools.toml:10:13: there is no resource `orders`
      hint: did you mean `order`?
    error: tools.toml:11:77: there is no variable `arguments`
      hint: known here: `args`, `result`, `before`
    rescind.toml: 3 errors, 0 warnings
    ");
    world.file("tools.toml", "[tools.pay]\nserver = \"bank\"\n");
    let said = said(&world.call(&["config", "check"]));
    assert_snapshot!(said, @r"
    warning: tools.toml:1:1: the catalogue names the server `bank`, and `[mcp.bank]` is not configured
      hint: what is said about its tools holds for no call
    rescind.toml: 0 errors, 1 warning
    ");
}

#[test]
fn what_the_world_lacks_is_told_before_anything_starts() {
    let world = World::new();
    world.file("rescind-data", "a file");
    world.file("not.pem", "nothing to see");
    world.file("torn.pem", "-----BEGIN CERTIFICATE-----\nMIIB");
    world.file(
        "rescind.toml",
        r#"
listen = "0.0.0.0:7373"
tools = "tools.toml"
witness_dir = "rescind-data/witness"

[upstreams.openai]
url = "http://10.0.0.1/v1"
ca_file = "not.pem"
headers = { authorization = { env = "OPENAI_KEY" }, x-api-key = "sk-written-out" }

[[upstreams.anthropic]]
url = "https://api.anthropic.com"
ca_file = "torn.pem"

[[upstreams.anthropic]]
url = "http://localhost:7373/anthropic/v1"

[upstreams.api]
url = "https://api.openai.com"

[mcp.neither]

[mcp.both]
url = "https://mcp.example.org/mcp"
command = ["server"]

[mcp.files]
command = ["no-such-program"]
cwd = "nowhere"
env = { KEY = { env = "FILES_KEY" } }

[timeouts]
total_ms = 1000

[retry]
initial_interval_ms = 9000
"#,
    );
    let said = world.fails(1, &["config", "check"]);
    assert!(!said.contains("sk-written-out"), "{said}");
    assert_snapshot!(said);
}

#[test]
fn a_value_of_another_kind_is_named_once_with_how_it_is_written() {
    let world = World::new();
    world.file(
        "rescind.toml",
        "[mcp.desk]\ncommand = \"server\"\n\n[tokens.ada]\nrole = \"agent\"\n",
    );
    let said = world.fails(1, &["config", "check"]);
    assert!(said.contains("write it in brackets: `command = "), "{said}");
    assert!(
        said.contains("begin each of them with `[[tokens]]`"),
        "{said}"
    );
    assert!(!said.contains("neither"), "it says one: {said}");
}

#[test]
fn two_tokens_with_one_name_or_one_secret_are_refused() {
    let world = World::new();
    let token = world.json(&["config", "token", "--name", "ci", "--role", "agent"]);
    let section = token["toml"].as_str().unwrap();
    let secret = token["token"].as_str().unwrap();
    assert!(
        secret.starts_with("rescind_") && secret.len() > 40,
        "{secret}"
    );
    assert!(!section.contains(secret), "{section}");

    world.file(
        "rescind.toml",
        format!("listen = \"0.0.0.0:7373\"\n{section}"),
    );
    world.ok(&["config", "check"]);
    let listed = world.ok(&["config", "show"]);
    assert!(listed.contains("tokens[0].name"), "{listed}");
    assert!(
        !listed.contains(token["sha256"].as_str().unwrap()),
        "{listed}"
    );

    world.file("rescind.toml", format!("{section}{section}"));
    let said = world.fails(1, &["config", "check"]);
    assert!(said.contains("two tokens with the name `ci`"), "{said}");
    assert!(said.contains("have the same token"), "{said}");

    let said = world.fails(2, &["config", "token", "--name", "a\"b", "--role", "agent"]);
    assert!(said.contains("is not a name"), "{said}");
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let world = World::new();
    world.file(
        "rescind.toml",
        "realm = \"file\"\ndata_dir = \"file\"\nmode = \"enforce\"\n\
        [mcp.my-files]\ncommand = [\"sh\"]\n",
    );
    let mut command = world.command(&["config", "show", "--json", "--realm", "flag"]);
    command
        .env("RESCIND_REALM", "environment")
        .env("RESCIND_DATA_DIR", "environment")
        .env("RESCIND_MODE", "")
        .env("RESCIND_ALLOWED_HOSTS", "a.example, b.example")
        .env("RESCIND_LIMITS__CONNECTIONS_MAX", "10")
        .env("RESCIND_RECORD__REDACT_PATTERNS", "['a,b', 'c']")
        .env("RESCIND_MCP__MY_FILES__CWD", "/")
        .env(
            "RESCIND_UPSTREAMS__OPENAI__URL",
            "http://localhost:11434/v1/",
        );
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = [
        "realm",
        "data_dir",
        "mode",
        "listen",
        "allowed_hosts",
        "limits.connections_max",
        "record.redact_patterns",
        "mcp.my-files.command",
        "mcp.my-files.cwd",
        "upstreams.openai.url",
    ];
    let rows: Vec<String> = names
        .iter()
        .map(|name| format!("{name} {}", shown(&object, name)))
        .collect();
    assert_snapshot!(rows.join("\n"), @r#"
    realm "flag" flag --realm
    data_dir "environment" environment RESCIND_DATA_DIR
    mode "enforce" file rescind.toml:3:8
    listen "127.0.0.1:7373" default 
    allowed_hosts ["a.example","b.example"] environment RESCIND_ALLOWED_HOSTS
    limits.connections_max 10 environment RESCIND_LIMITS__CONNECTIONS_MAX
    record.redact_patterns ["a,b","c"] environment RESCIND_RECORD__REDACT_PATTERNS
    mcp.my-files.command ["sh"] file rescind.toml:5:11
    mcp.my-files.cwd "/" environment RESCIND_MCP__MY_FILES__CWD
    upstreams.openai.url "http://localhost:11434/v1" environment RESCIND_UPSTREAMS__OPENAI__URL
    "#);
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let world = World::new();
    let mut command = world.command(&["config", "check"]);
    command
        .env("RESCIND_LISTEN", "7373")
        .env("RESCIND_LISTN", "7373")
        .env("RESCIND_LIMITS__BODY_MAX", "1")
        .env("RESCIND_LIMITS__BODY_BYTES_MAX", "many")
        .env(
            "RESCIND_TOKENS",
            "[{ name = 'ci', role = 'agent', sha256 = 'abc' }]",
        )
        // What a cluster sets for a service of this name is no mistake of anybody.
        .env("RESCIND_PORT", "tcp://10.0.0.1:80")
        .env("RESCIND_SERVICE_HOST", "10.0.0.1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(said(&output), @r"
    error: RESCIND_LIMITS__BODY_BYTES_MAX: `limits.body_bytes_max`: this cannot be read
      hint: write it as in the file: a whole number
    warning: RESCIND_LIMITS__BODY_MAX: this variable names no option
      hint: `rescind config show` lists the options; two underscores stand between the parts of a name
    error: RESCIND_LISTEN: `listen`: `7373` is not an address and port
      hint: write for example `127.0.0.1:7373`, or `0.0.0.0:7373` for every network of this machine
    warning: RESCIND_LISTN: this variable names no option
      hint: did you mean `RESCIND_LISTEN`?
    error: RESCIND_TOKENS: `tokens[0].sha256`: this is not a SHA-256, which has 64 hexadecimal digits
      hint: `rescind config token` makes a token and prints what to write here
    no file, so defaults: 3 errors, 2 warnings
    ");
}

#[test]
fn upstreams_of_one_name_are_a_list_in_their_order() {
    let world = World::new();
    let file = "[[upstreams.anthropic]]\nurl = \"https://api.anthropic.com/\"\n\
        [[upstreams.anthropic]]\nurl = \"https://fallback.example/v1\"\n\
        models = { claude-opus = \"opus\" }\n\
        [upstreams.local]\nurl = \"http://127.0.0.1:11434/v1\"\nwire = \"openai\"\n";
    world.file("rescind.toml", file);
    assert_snapshot!(world.ok(&["config", "check"]), @"rescind.toml: nothing is wrong");
    let object = world.json(&["config", "show"]);
    let names = [
        "upstreams.anthropic[0].url",
        "upstreams.anthropic[0].wire",
        "upstreams.anthropic[1].models.claude-opus",
        "upstreams.local.wire",
        "upstreams.openai.url",
    ];
    let rows: Vec<String> = names
        .iter()
        .map(|name| format!("{name} {}", shown(&object, name)))
        .collect();
    assert_snapshot!(rows.join("\n"), @r#"
    upstreams.anthropic[0].url "https://api.anthropic.com/v1" file rescind.toml:2:7
    upstreams.anthropic[0].wire "anthropic" default 
    upstreams.anthropic[1].models.claude-opus "opus" file rescind.toml:5:26
    upstreams.local.wire "openai" file rescind.toml:8:8
    upstreams.openai.url "https://api.openai.com/v1" default
    "#);
}

#[test]
fn secrets_are_not_shown() {
    let world = World::new();
    let file = "[upstreams.openai]\n\
        url = \"https://proxy.example/v1?key=hunter2\"\n\
        headers = { authorization = \"Bearer hunter2\", x-api-key = { env = \"OPENAI_KEY\" } }\n\
        [mcp.files]\ncommand = [\"sh\"]\nenv = { PASSWORD = \"hunter2\" }\n";
    world.file("rescind.toml", file);
    for args in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "check"],
    ] {
        let output = said(&world.call(args));
        assert!(!output.contains("hunter2"), "{output}");
        assert!(output.contains("OPENAI_KEY"), "{output}");
    }
    let said = wrong("[upstreams.openai]\nurl = \"https://me:hunter2@proxy.example/v1\"\n");
    assert!(
        !said.contains("hunter2") && said.contains("user or password"),
        "{said}"
    );
}

#[test]
fn paths_in_a_file_count_from_its_directory() {
    let world = World::new();
    std::fs::create_dir(world.path("etc")).unwrap();
    world.file(
        "etc/rescind.toml",
        "tools = \"tools.toml\"\ndata_dir = \"/srv/data\"\n",
    );
    world.file("etc/tools.toml", "");
    let show = world.json(&["config", "show", "--config", "etc/rescind.toml"]);
    assert_eq!(
        shown(&show, "tools"),
        "\"etc/tools.toml\" file etc/rescind.toml:1:9"
    );
    assert_eq!(
        shown(&show, "data_dir"),
        "\"/srv/data\" file etc/rescind.toml:2:12"
    );
    world.ok(&["config", "check", "--config", "etc/rescind.toml"]);
    let said = world.fails(2, &["config", "check", "--config", "nowhere.toml"]);
    assert!(said.contains("could not read `nowhere.toml`"), "{said}");
}

#[test]
fn every_command_takes_the_record_that_the_file_names() {
    let world = World::with_refund();
    std::fs::rename(world.path("rescind-data"), world.path("elsewhere")).unwrap();
    world.fails(2, &["runs"]);
    world.file("rescind.toml", "data_dir = \"elsewhere\"\n");
    assert_eq!(world.json(&["runs"])["runs"].as_array().unwrap().len(), 1);
    world.file("rescind.toml", "data_dri = \"elsewhere\"\n");
    let said = world.fails(2, &["runs"]);
    assert_snapshot!(said, @r"
    error: rescind.toml:1:1: unknown option `data_dri`
    hint: did you mean `data_dir`?
    ");
}

#[test]
fn the_file_of_the_reference_says_what_holds_without_it() {
    let world = World::new();
    let files = world.json(&["reference"]);
    let file = files["rescind.toml"].as_str().unwrap();
    let bare = world.ok(&["config", "show"]);
    world.file("rescind.toml", file);
    assert_eq!(world.ok(&["config", "show"]), bare, "all of it is comments");

    // With its comments taken out it is a file whose options all exist.
    let uncommented: Vec<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' ') && !line.is_empty() && !line.starts_with("postgres"))
        .collect();
    world.file("rescind.toml", uncommented.join("\n"));
    let all = world.ok(&["config", "show"]);
    let missing = |line: &&str| line.ends_with(" default") && !line.starts_with("upstreams.anth");
    assert_eq!(all.lines().find(missing), None, "every option stands in it");
    assert_eq!(right("[record]\n"), "rescind.toml: nothing is wrong\n");
}

#[test]
fn times_of_the_guard_that_contradict_each_other_are_refused() {
    assert_eq!(
        right("mode = \"enforce\"\n[approvals]\nwait_ms = 0\n"),
        "rescind.toml: nothing is wrong\n"
    );
    assert_snapshot!(wrong("[approvals]\nexpire_ms = 1000\n[guard]\nopen_ms = 600000\n"), @r"
    error: rescind.toml:2:13: `approvals.wait_ms` is 25000, longer than `approvals.expire_ms`, which is 1000
      hint: a call cannot wait longer than a person may take: lower the one or raise the other
    error: rescind.toml:4:11: `guard.open_ms` is 600000, longer than `guard.open_ms_max`, which is 300000
      hint: the first time is the shortest: lower the one or raise the other
    rescind.toml: 2 errors, 0 warnings
    ");
}

#[test]
fn a_webhook_that_cannot_be_told_is_refused_and_its_secret_is_not_shown() {
    let said = wrong("[notify]\nurl = \"https://hooks.example\"\nsecret = \"whsec_?\"\n");
    assert!(said.contains("no base64 after `whsec_`"), "{said}");
    let said = wrong("[notify]\nurl = \"hooks.example\"\nsecret = { env = \"NO_SUCH\" }\n");
    assert!(
        said.contains("`NO_SUCH` of the environment is not set"),
        "{said}"
    );
    let said = right("[notify]\nurl = \"https://hooks.example\"\nsecret = \"hunter2\"\n");
    assert!(
        said.contains("is written out") && !said.contains("hunter2"),
        "{said}"
    );
}
