//! Kinds of failure.

use model::FailureClass;

#[test]
fn a_kind_of_failure_has_the_name_that_the_record_carries() {
    for class in FailureClass::ALL {
        let written = serde_json::to_string(&class).unwrap();
        assert_eq!(written, format!("\"{}\"", class.name()));
        assert_eq!(
            serde_json::from_str::<FailureClass>(&written).unwrap(),
            class
        );
    }
}
