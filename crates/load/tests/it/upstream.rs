//! The upstream answers on every path that the others rely on.

use load::client::Connection;
use load::process::DIRECT;
use load::upstream::{Options, TOOLS, Upstream, WORDS};
use load::words::{MARKER, Words, find};

#[test]
fn answers_are_of_the_kind_that_was_asked_for() {
    let upstream = Upstream::start(Options::default()).unwrap();
    let mut connection = Connection::open(upstream.address()).unwrap();
    let mut ask = |model, stream| {
        let body = Words::new(model, stream, 1_024).body("x", 1);
        let answer = connection.call(DIRECT, &body).unwrap();
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body).unwrap()
    };
    let (words, tools, stream) = (ask(WORDS, false), ask(TOOLS, false), ask(WORDS, true));
    for whole in [&words, &tools] {
        let value: serde_json::Value = serde_json::from_str(whole).unwrap();
        assert!(value["choices"][0]["message"]["content"].is_string());
        assert!((900..1_300).contains(&whole.len()), "{}", whole.len());
    }
    assert!(tools.contains("get_order") && !words.contains("get_order"));
    assert_eq!(stream.matches("data: ").count(), 100);
    assert!(stream.contains("data: [DONE]\n\n"));
}

#[test]
fn calls_are_remembered_by_their_markers() {
    let upstream = Upstream::start(Options {
        remembers: true,
        ..Options::default()
    })
    .unwrap();
    let words = Words::new(WORDS, false, 1_024);
    let mut connection = Connection::open(upstream.address()).unwrap();
    for number in 0..3 {
        connection.call(DIRECT, &words.body("y", number)).unwrap();
    }
    assert_eq!(
        upstream.seen().markers(),
        ["load-marker-y-0", "load-marker-y-1", "load-marker-y-2"]
    );
}

#[test]
fn bodies_have_their_length_and_their_own_words() {
    let words = Words::new(WORDS, false, 1_024);
    let (one, other) = (words.body("x", 1), words.body("x", 2));
    assert_eq!((one.len(), other.len()), (1_024, 1_024));
    assert_ne!(one[400..900], other[400..900]);
    let words = Words::new(WORDS, false, 222_000);
    let (first, second) = (words.body("a", 10), words.body("a", 11));
    for long in [&first, &second] {
        assert!((219_000..226_000).contains(&long.len()), "{}", long.len());
        assert!(serde_json::from_str::<serde_json::Value>(long).is_ok());
    }
    let all_but_the_end = first.len() - "\"}]}".len();
    assert!(second.starts_with(&first[..all_but_the_end]));
    assert_ne!(words.body("a", 9)[..2_000], first[..2_000]);
    assert_eq!(find(second.as_bytes(), MARKER).unwrap(), "load-marker-a-11");
    assert_eq!(find(b"no mark", MARKER), None);
}
