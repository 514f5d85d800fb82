//! The header `traceparent`.

use wire::trace::{TraceParent, traceparent};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

#[test]
fn a_trace_parent_is_read() {
    let read = traceparent(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
    assert_eq!(
        read,
        TraceParent {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
            span_id: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
            sampled: true,
        }
    );
    for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
        let text = format!("00-{TRACE}-{SPAN}-{flags}");
        assert_eq!(traceparent(&text).unwrap().sampled, sampled, "{flags}");
    }
    // A later version may say more, after a dash.
    for text in [
        format!("01-{TRACE}-{SPAN}-01"),
        format!("cc-{TRACE}-{SPAN}-01-what-comes"),
    ] {
        assert_eq!(traceparent(&text), Some(read));
    }
}

#[test]
fn anything_else_is_no_trace_parent() {
    let zeros = "0".repeat(32);
    for text in [
        String::new(),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-01-x"),
        format!("00-{TRACE}-{SPAN}-01 "),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("01-{TRACE}-{SPAN}-01x"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{SPAN}-0g"),
        format!("00_{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}{SPAN}-001"),
        format!("00-{}é-{SPAN}-01", &TRACE[..30]),
    ] {
        assert_eq!(traceparent(&text), None, "{text}");
    }
}
