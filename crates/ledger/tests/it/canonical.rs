//! Canonical JSON: the published vectors of RFC 8785 and its reference implementation, and what
//! this crate refuses beyond them.

use ledger::canonical::{self, CanonicalError};
use proptest::prelude::*;
use serde::Serialize;

fn text(json: &str) -> Result<String, CanonicalError> {
    canonical::from_json(json.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

/// RFC 8785 sections 3.2.2 and 3.2.3, and `testdata` of the reference implementation.
const DOCUMENTS: &[(&str, &str, &str)] = &[
    (
        "arrays",
        r#"[ 56, { "d": true, "10": null, "1": [ ] } ]"#,
        r#"[56,{"1":[],"10":null,"d":true}]"#,
    ),
    (
        "french",
        r#"{ "peach": "This sorting order", "péché": "is wrong according to French",
             "pêche": "but canonicalization MUST", "sin":   "ignore locale" }"#,
        "{\"peach\":\"This sorting order\",\"péché\":\"is wrong according to French\",\
         \"pêche\":\"but canonicalization MUST\",\"sin\":\"ignore locale\"}",
    ),
    (
        "structures",
        r#"{ "1": {"f": {"f": "hi","F": 5} ,"\n": 56.0}, "10": { }, "": "empty", "a": { },
             "111": [ {"e": "yes","E": "no" } ], "A": { } }"#,
        "{\"\":\"empty\",\"1\":{\"\\n\":56,\"f\":{\"F\":5,\"f\":\"hi\"}},\"10\":{},\
         \"111\":[{\"E\":\"no\",\"e\":\"yes\"}],\"A\":{},\"a\":{}}",
    ),
    (
        "unicode",
        r#"{ "Unnormalized Unicode":"A\u030a" }"#,
        "{\"Unnormalized Unicode\":\"A\u{30a}\"}",
    ),
    (
        "values",
        r#"{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
             "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
             "literals": [null, true, false] }"#,
        "{\"literals\":[null,true,false],\
         \"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
         \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}",
    ),
    (
        "weird",
        r#"{ "\u20ac": "Euro Sign", "\r": "Carriage Return", "\u000a": "Newline", "1": "One",
             "\u0080": "Control\u007f", "\ud83d\ude02": "Smiley",
             "\u00f6": "Latin Small Letter O With Diaeresis",
             "\ufb33": "Hebrew Letter Dalet With Dagesh", "</script>": "Browser Challenge" }"#,
        "{\"\\n\":\"Newline\",\"\\r\":\"Carriage Return\",\"1\":\"One\",\
         \"</script>\":\"Browser Challenge\",\"\u{80}\":\"Control\u{7f}\",\
         \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\
         \"\u{1f602}\":\"Smiley\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
    ),
];

/// RFC 8785 appendix B.
const NUMBERS: &[(u64, &str)] = &[
    (0x0000000000000000, "0"),
    (0x8000000000000000, "0"),
    (0x0000000000000001, "5e-324"),
    (0x8000000000000001, "-5e-324"),
    (0x7fefffffffffffff, "1.7976931348623157e+308"),
    (0xffefffffffffffff, "-1.7976931348623157e+308"),
    (0x4340000000000000, "9007199254740992"),
    (0xc340000000000000, "-9007199254740992"),
    (0x4430000000000000, "295147905179352830000"),
    (0x44b52d02c7e14af5, "9.999999999999997e+22"),
    (0x44b52d02c7e14af6, "1e+23"),
    (0x44b52d02c7e14af7, "1.0000000000000001e+23"),
    (0x444b1ae4d6e2ef4e, "999999999999999700000"),
    (0x444b1ae4d6e2ef4f, "999999999999999900000"),
    (0x444b1ae4d6e2ef50, "1e+21"),
    (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"),
    (0x3eb0c6f7a0b5ed8d, "0.000001"),
    (0x41b3de4355555553, "333333333.3333332"),
    (0x41b3de4355555554, "333333333.33333325"),
    (0x41b3de4355555555, "333333333.3333333"),
    (0x41b3de4355555556, "333333333.3333334"),
    (0x41b3de4355555557, "333333333.33333343"),
    (0xbecbf647612f3696, "-0.0000033333333333333333"),
    (0x43143ff3c1cb0959, "1424953923781206.2"),
];

#[test]
fn c57_published_documents_give_the_published_bytes() {
    for (name, input, expected) in DOCUMENTS {
        assert_eq!(text(input).unwrap(), *expected, "{name}");
        let value: serde_json::Value = serde_json::from_str(input).unwrap();
        assert_eq!(
            canonical::to_vec(&value).unwrap(),
            expected.as_bytes(),
            "{name} as a value"
        );
        assert!(canonical::is_canonical(expected.as_bytes()), "{name}");
    }
}

#[test]
fn c57_published_numbers_give_the_published_digits() {
    for (bits, expected) in NUMBERS {
        let number = f64::from_bits(*bits);
        assert_eq!(canonical::to_vec(&number).unwrap(), expected.as_bytes());
        // The digits read back to the same double, so text and value agree.
        assert_eq!(text(expected).unwrap(), *expected);
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(canonical::to_vec(&number), Err(CanonicalError::NotFinite));
    }
    assert!(matches!(text("1e400"), Err(CanonicalError::Syntax { .. })));
    assert!(matches!(text("[NaN]"), Err(CanonicalError::Syntax { .. })));
}

#[test]
fn integers_that_a_double_cannot_hold_are_refused() {
    assert_eq!(text("9007199254740992").unwrap(), "9007199254740992");
    let error = text("[1,\n 9007199254740993]").unwrap_err();
    assert_starts(
        &error,
        "line 2, column 17: the integer `9007199254740993` does not fit",
    );
    assert_eq!(error.hint(), Some("write the number as a string"));
    assert_eq!(
        canonical::to_vec(&u64::MAX),
        Err(CanonicalError::Inexact {
            number: u64::MAX.into()
        })
    );
    assert_eq!(
        canonical::to_vec(&i64::MAX),
        Err(CanonicalError::Inexact {
            number: i64::MAX.into()
        })
    );
}

fn assert_starts(error: &CanonicalError, start: &str) {
    assert!(error.to_string().starts_with(start), "{error}");
}

#[test]
fn a_name_that_occurs_twice_is_refused_with_its_place() {
    let error = text("{\"a\":1,\n\"b\":{\"c\":1,\"\\u0063\":2}}").unwrap_err();
    assert_starts(
        &error,
        "line 2, column 22: the name `c` occurs twice in one object",
    );
    #[derive(Serialize)]
    struct Outer {
        a: u8,
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Serialize)]
    struct Inner {
        a: u8,
    }
    let twice = Outer {
        a: 1,
        inner: Inner { a: 2 },
    };
    assert_eq!(
        canonical::to_vec(&twice),
        Err(CanonicalError::DuplicateName {
            name: "a".to_owned()
        })
    );
}

#[test]
fn texts_that_are_not_one_json_value_are_refused() {
    for bad in [
        "",
        "{",
        "{} {}",
        "[1,]",
        "'a'",
        "\"\\ud800\"",
        "01",
        "\u{feff}{}",
        "{\"a\" 1}",
    ] {
        assert!(
            matches!(text(bad), Err(CanonicalError::Syntax { .. })),
            "{bad:?}"
        );
    }
    assert!(canonical::from_json(b"\"\xff\"").is_err(), "invalid UTF-8");
    assert!(text(&"[".repeat(100_000)).is_err(), "deep nesting");
}

#[test]
fn every_shape_of_serde_has_the_form_that_serde_json_gives_it() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Newtype(u8);
    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(i8),
        Tuple(u8, u16),
        Struct { z: u8, a: char },
    }
    #[derive(Serialize)]
    struct All<'a> {
        z: Option<u8>,
        y: Option<u8>,
        unit: Unit,
        newtype: Newtype,
        shapes: [Shape; 4],
        map: std::collections::BTreeMap<u32, f32>,
        bytes: &'a [u8],
        raw: &'a serde_json::value::RawValue,
        after: (),
    }
    let raw = serde_json::value::RawValue::from_string("{\"b\": 1.0, \"a\": [ ]}".into()).unwrap();
    let all = All {
        z: Some(1),
        y: None,
        unit: Unit,
        newtype: Newtype(2),
        shapes: [
            Shape::Unit,
            Shape::Newtype(-3),
            Shape::Tuple(4, 5),
            Shape::Struct { z: 6, a: 'é' },
        ],
        map: [(10, 0.5), (9, 1.0)].into(),
        bytes: b"\x00\xff",
        raw: &raw,
        after: (),
    };
    let direct = String::from_utf8(canonical::to_vec(&all).unwrap()).unwrap();
    assert_eq!(direct, text(&serde_json::to_string(&all).unwrap()).unwrap());
    assert_eq!(
        direct,
        "{\"after\":null,\"bytes\":[0,255],\"map\":{\"10\":0.5,\"9\":1},\"newtype\":2,\
         \"raw\":{\"a\":[],\"b\":1},\"shapes\":[\"Unit\",{\"Newtype\":-3},{\"Tuple\":[4,5]},\
         {\"Struct\":{\"a\":\"é\",\"z\":6}}],\"unit\":null,\"y\":null,\"z\":1}"
    );
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        prop::num::f64::NORMAL.prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn c57_canonical_bytes_are_a_fixed_point_and_keep_the_value(value in any_json()) {
        let once = canonical::to_vec(&value).unwrap();
        prop_assert_eq!(&canonical::from_json(&once).unwrap(), &once);
        prop_assert!(canonical::is_canonical(&once));
        let spaced = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(&canonical::from_json(spaced.as_bytes()).unwrap(), &once);
    }
}
