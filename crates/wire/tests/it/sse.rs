//! Server-sent events, split with their bytes kept.

use proptest::prelude::*;
use wire::sse::{Block, Splitter};

fn split(text: &str) -> String {
    let mut splitter = Splitter::new(1 << 20);
    let blocks = splitter.push(text.as_bytes()).unwrap();
    let mut out: String = blocks.iter().map(|block| line(block) + "\n").collect();
    if !splitter.rest().is_empty() {
        out += &format!("rest {:?}\n", String::from_utf8_lossy(splitter.rest()));
    }
    out
}

fn line(block: &Block) -> String {
    let mut out = format!("{:?}", String::from_utf8_lossy(&block.raw));
    for (name, value) in [
        ("event", &block.event),
        ("data", &block.data),
        ("id", &block.id),
    ] {
        if let Some(value) = value {
            out += &format!(" {name}={value:?}");
        }
    }
    out
}

#[test]
fn blocks_are_read_and_keep_their_bytes() {
    insta::assert_snapshot!(split(concat!(
        "\u{feff}data: one\n\n",
        ": a comment\n\n",
        "event: delta\nid: 7\nretry: 10\ndata:{\"a\":1}\n\n",
        ": glued\ndata: two\ndata:  lines\n\n",
        "data\n\n",
        "\n",
        "nothing: known\ndata: x\n\n",
        "data: cut",
    )), @r#"
    "\u{feff}data: one\n\n" data="one"
    ": a comment\n\n"
    "event: delta\nid: 7\nretry: 10\ndata:{\"a\":1}\n\n" event="delta" data="{\"a\":1}" id="7"
    ": glued\ndata: two\ndata:  lines\n\n" data="two\n lines"
    "data\n\n" data=""
    "\n"
    "nothing: known\ndata: x\n\n" data="x"
    rest "data: cut"
    "#);
}

#[test]
fn lines_end_in_any_of_three_ways() {
    insta::assert_snapshot!(split("data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\ndata: e\n\r\nrest\r"), @r#"
    "data: a\r\n\r\n" data="a"
    "data: b\r\r" data="b"
    "data: c\n\n" data="c"
    "data: d\r\n\n" data="d"
    "data: e\n\r\n" data="e"
    rest "rest\r"
    "#);
}

#[test]
fn a_whole_block_is_never_held_back() {
    for end in ["\n\n", "\r\n\r\n", "\r\r"] {
        let mut splitter = Splitter::new(100);
        let blocks = splitter.push(format!("data: x{end}").as_bytes()).unwrap();
        assert_eq!(blocks.len(), 1, "{end:?}");
        assert_eq!(splitter.rest(), b"");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_kept_and_read_as_replaced() {
    let mut splitter = Splitter::new(100);
    let blocks = splitter.push(b"data: a\xffb\n\n").unwrap();
    assert_eq!(blocks[0].raw, b"data: a\xffb\n\n");
    assert_eq!(blocks[0].data.as_deref(), Some("a\u{fffd}b"));
}

#[test]
fn a_line_over_the_limit_ends_the_stream_after_the_blocks_before_it() {
    for chunk in [1, 3, 1000] {
        let text = b"data: a\n\ndata: b\n\ndata: 89abcdef\n\ndata: c\n\n";
        let mut splitter = Splitter::new(10);
        let mut seen = Vec::new();
        let mut refused = None;
        for chunk in text.chunks(chunk) {
            match splitter.push(chunk) {
                Ok(blocks) => seen.extend(blocks),
                Err(error) => {
                    seen.extend(error.blocks.clone());
                    refused = Some(error.to_string());
                    break;
                }
            }
        }
        let refused = refused.unwrap();
        assert_eq!(refused, "a line of the event stream has more than 10 bytes");
        assert_eq!(seen.len(), 2, "in chunks of {chunk}");
        assert!(splitter.push(b"\n\n").unwrap_err().blocks.is_empty());
    }
}

#[test]
fn many_short_lines_do_not_make_a_block_without_end() {
    let mut splitter = Splitter::new(10);
    assert!(splitter.push(&b"data: x\n".repeat(3)).is_err());
}

#[test]
fn a_line_of_eight_megabytes_in_small_chunks_is_read() {
    let text = format!("data: {}\n\ndata: next\n\n", "x".repeat(8 << 20));
    let mut splitter = Splitter::new((8 << 20) + 6);
    let chunks = text.as_bytes().chunks(4096);
    let blocks: Vec<Block> = chunks
        .flat_map(|chunk| splitter.push(chunk).unwrap())
        .collect();
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[0].data.as_ref().map(String::len), Some(8 << 20));
    assert_eq!(blocks[1].data.as_deref(), Some("next"));
}

/// Splits a text, cut at some places.
fn cut(text: &[u8], cuts: &[usize], line_bytes_max: usize) -> (Vec<Block>, Vec<u8>, bool) {
    let mut splitter = Splitter::new(line_bytes_max);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    let mut blocks = Vec::new();
    for pair in cuts.windows(2) {
        match splitter.push(&text[pair[0]..pair[1]]) {
            Ok(more) => blocks.extend(more),
            Err(error) => {
                blocks.extend(error.blocks);
                return (blocks, Vec::new(), false);
            }
        }
    }
    (blocks, splitter.rest().to_vec(), true)
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "data: ", "event: e", ": c", "\u{feff}", "id:1",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        2 => "[a-z{}\" :]{0,12}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_is_lost(text in streams(), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
        let (blocks, rest, _) = cut(&text, &cuts, 1 << 20);
        let mut all: Vec<u8> = blocks.iter().flat_map(|block| block.raw.clone()).collect();
        all.extend(rest);
        prop_assert_eq!(all, text);
    }

    #[test]
    fn chunks_make_no_difference(
        text in streams(),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
        line_bytes_max in prop_oneof![Just(1_usize << 20), 4_usize..40],
    ) {
        let whole = cut(&text, &[], line_bytes_max);
        let every_byte: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(&cut(&text, &cuts, line_bytes_max), &whole);
        prop_assert_eq!(&cut(&text, &every_byte, line_bytes_max), &whole);
    }
}
