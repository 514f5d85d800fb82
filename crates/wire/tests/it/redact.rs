//! Secrets: what is taken out of a text, and what is left alone.
//!
//! Every secret here is made up: it has the form and opens nothing. Those whose form a scanner of
//! repositories knows are put together from two halves.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::Value;
use wire::redact::{BadPattern, Redactor};

fn redact(text: &str) -> String {
    Redactor::new(&[]).unwrap().redact(text).0.into_owned()
}

/// Prefix and what follows it: 36 letters and digits.
fn key(prefix: &str) -> String {
    format!("{prefix}aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1eF3hJ5")
}

fn web_token() -> String {
    let part = |half: &str| format!("{half}hbGciOiJIUzI1NiJ9");
    format!("{}.{}.s1gn4tur3-s1gn4tur3_x", part("eyJ"), part("eyJ"))
}

fn private_key(newline: &str) -> String {
    let (begin, end) = ("-----BEGIN RSA PRIVATE", "-----END RSA PRIVATE");
    let line = "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7";
    format!("{begin} KEY-----{newline}{line}{newline}{line}={newline}{end} KEY-----")
}

#[test]
fn keys_are_known_by_their_form() {
    for (secret, kind) in [
        (key("sk-"), "api-key"),
        (key("sk-proj-"), "api-key"),
        (key("sk-ant-api03-"), "api-key"),
        (key("sk_live_"), "api-key"),
        (key("ghp_"), "token"),
        (key("github_pat_11AAAAA_"), "token"),
        (key("glpat-"), "token"),
        (key("npm_"), "token"),
        (key("hf_"), "token"),
        (
            format!("{}-123456789012-{}", "xoxb", "aB3dE5gH7jK9"),
            "token",
        ),
        (format!("{}{}", "AIza", &key("")[1..]), "api-key"),
        (format!("{}IOSFODNN7EXAMPLE", "AKIA"), "access-key"),
        (web_token(), "jwt"),
        (private_key("\n"), "private-key"),
        (private_key("\\n"), "private-key"),
    ] {
        for (before, after) in [
            ("", ""),
            ("use ", " please"),
            ("(", ")"),
            ("\"", "\""),
            ("line\\n", "\\nline"),
            ("x=", "&y=1"),
            ("a \\u003e", "."),
        ] {
            let text = format!("{before}{secret}{after}");
            assert_eq!(
                redact(&text),
                format!("{before}[redacted:{kind}]{after}"),
                "{text}"
            );
        }
    }
}

#[test]
fn values_are_known_by_their_name() {
    for (text, left) in [
        (
            r#"{"api_key": "abc"}"#,
            r#"{"api_key": "[redacted:api-key]"}"#,
        ),
        (
            r#"{"x-api-key":"a-b-c"}"#,
            r#"{"x-api-key":"[redacted:api-key]"}"#,
        ),
        (
            r#"{"clientSecret": "p4\"q"}"#,
            r#"{"clientSecret": "[redacted:secret]"}"#,
        ),
        (
            r#"{\"password\": \"hunter2\"}"#,
            r#"{\"password\": \"[redacted:password]\"}"#,
        ),
        (
            r#"{\\\"password\\\": \\\"hunter2\\\"}"#,
            r#"{\\\"password\\\": \\\"[redacted:password]\\\"}"#,
        ),
        (
            "{'password': 'hunter2'}",
            "{'password': '[redacted:password]'}",
        ),
        (
            "login(user='ann', password='hunter2')",
            "login(user='ann', password='[redacted:password]')",
        ),
        (
            "PASSWORD=changeit\nUSER=ann",
            "PASSWORD=[redacted:password]\nUSER=ann",
        ),
        (
            "export DB_PASSWORD='s e' OPENAI_API_KEY=abcd",
            "export DB_PASSWORD='s e' OPENAI_API_KEY=[redacted:api-key]",
        ),
        (
            r"env\nAWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG\nX=1",
            r"env\nAWS_SECRET_ACCESS_KEY=[redacted:secret]\nX=1",
        ),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPx",
            "aws_secret_access_key = [redacted:secret]",
        ),
        ("My password: hunter2.", "My password: [redacted:password]."),
        (
            "Authorization: Bearer abcDEF123456abcDEF",
            "Authorization: Bearer [redacted:token]",
        ),
        (
            "authorization: Basic YW5uOmh1bnRlcjI=",
            "authorization: Basic [redacted:password]",
        ),
        (
            "postgres://ann:hunter2@db:5432/x",
            "postgres://ann:[redacted:password]@db:5432/x",
        ),
        (
            r#""url": "https://ann:p@ss@h/x""#,
            r#""url": "https://ann:[redacted:password]@h/x""#,
        ),
    ] {
        assert_eq!(redact(text), left, "{text}");
    }
}

#[test]
fn what_only_looks_random_or_is_only_named_alike_is_left_alone() {
    for text in [
        "Order #W2378156, item 1008292230, tracking 1Z999AA10123456784",
        "request 150234 of 550e8400-e29b-41d4-a716-446655440000",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
        "\"encrypted_content\": \"gAAAAABo-sk-Zx_9aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1eF3hJ5\"",
        "call_abc123DEF456ghi789JKL012 toolu_01H4DyYsruYjC9BAjD4Ko6Eu req_011CW8xGYSqys6gkimdHX1oj",
        "the task-scheduler-for-2024-reports and risk-assessment-2025-final-version",
        "sk-learn is short for scikit-learn; sk-learn-2024-01-prediction-notebook",
        "{\"usage\": {\"prompt_tokens\": 4096, \"completion_tokens\": 12}, \"max_tokens\": 100}",
        "{\"password\": {\"type\": \"string\", \"description\": \"The password of the user\"}}",
        "{\"password\": \"The password of the user\", \"token\": \"string\"}",
        "{\"required\": [\"user\", \"password\"], \"name\": \"token\", \"key\": \"value\"}",
        "{\"next_page_token\": \"CAUQAA1234567890abcdef\", \"pad_token\": \"<pad>\"}",
        "{\"password\": 12345678, \"secret\": null, \"token\": true}",
        "Please tell me your password: it must have 8 characters.",
        "The secret: be kind. The key: patience. A token: of gratitude",
        "password = get_password(); token = self.token; secret = os.environ[\"SECRET\"]",
        "API_KEY=$OPENAI_API_KEY PASSWORD=${DB_PASSWORD} TOKEN=<token> API_KEY=your-key-here",
        "pub const ERROR_PASSWORD: WIN32_ERROR = 6; TOKEN_LIMIT=4096",
        "Bearer authentication is required; the bearer of this letter",
        "Basic concepts of authentication, Basic Authorization",
        "see https://example.test:8080/a@b and git@github.com:a/b and http://[::1]:80/",
        "postgres://ann:${PASSWORD}@db/x and ssh://git@github.com/a",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "a JSON Web Token begins with eyJ and has three parts: eyJabc.def.ghi",
        "monkey: banana7x, turkey=5, hotkey: ctrl1",
    ] {
        let (left, count) = Redactor::new(&[]).unwrap().redact(text);
        assert_eq!((left, count), (Cow::Borrowed(text), 0));
    }
}

#[test]
fn an_operator_adds_patterns() {
    let patterns = [r"ACME-\d{4}", r"badge (\w+)", r#"note.*"#].map(str::to_owned);
    let redactor = Redactor::new(&patterns).unwrap();
    for (text, left, count) in [
        ("id ACME-1234, ACME-12", "id [redacted:custom], ACME-12", 1),
        ("badge X7 please", "badge [redacted:custom] please", 1),
        // What a pattern takes too much of ends before the quote.
        (
            r#"{"a": "note one", "b": 2}"#,
            r#"{"a": "[redacted:custom]", "b": 2}"#,
            1,
        ),
        // Where two overlap, both are gone.
        ("badge ACME-1234", "badge [redacted:custom]", 1),
    ] {
        let (is, n) = redactor.redact(text);
        assert_eq!((is.as_ref(), n), (left, count));
        assert_eq!(redactor.redact(&is), (Cow::Borrowed(left), 0));
    }
}

#[test]
fn a_pattern_that_cannot_be_used_is_named() {
    for pattern in ["a(", "x*", r"(?=a)b", r"\w{1000}{1000}"] {
        let BadPattern {
            pattern: named,
            reason,
        } = Redactor::new(&["ok".to_owned(), pattern.to_owned()]).unwrap_err();
        assert_eq!(named, pattern);
        assert!(!reason.is_empty());
    }
}

/// Pieces that secrets are made of and stand between, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(key("sk-")),
        Just(key("ghp_")),
        Just(web_token()),
        Just(private_key("\n")),
        Just(format!("{}IOSFODNN7EXAMPLE", "AKIA")),
        Just("Bearer abcDEF123456abcDEF".to_owned()),
        Just("https://a:b1@c".to_owned()),
        Just("-----BEGIN RSA PRIVATE KEY-----".to_owned()),
        Just("\"password\": \"".to_owned()),
        Just("PASSWORD=".to_owned()),
        Just("api_key: 'x".to_owned()),
        Just("[redacted:".to_owned()),
        "[ \\\\\"':=\n,a-z0-9{}@/.-]{0,6}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn redacting_twice_changes_nothing(text in pieces()) {
        let redactor = Redactor::new(&[]).unwrap();
        let (once, _) = redactor.redact(&text);
        let (twice, count) = redactor.redact(&once);
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(count, 0, "{}", once);
    }

    #[test]
    fn json_stays_json_and_nothing_but_strings_changes(text in pieces(), name in pieces()) {
        let redactor = Redactor::new(&["note.{0,9}".to_owned()]).unwrap();
        let inner = serde_json::json!({"password": text, "note": 1, "list": [name, text]});
        let outer = serde_json::json!({"arguments": inner.to_string(), "n": 7}).to_string();
        let (left, _) = redactor.redact(&outer);
        let read: Value = serde_json::from_str(&left).unwrap();
        let arguments: Value = serde_json::from_str(read["arguments"].as_str().unwrap()).unwrap();
        prop_assert_eq!(&read["n"], 7);
        prop_assert_eq!(arguments["list"].as_array().unwrap().len(), 2);
    }
}
