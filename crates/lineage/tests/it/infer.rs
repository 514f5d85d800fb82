//! Causes inferred from small histories.

use insta::assert_snapshot;

use crate::play::play;

#[test]
fn a_tool_call_depends_on_who_asked_and_where_its_values_come_from() {
    assert_snapshot!(play(r#"
        u: user says My user id is mia_kim_4397, cancel my last booking
        a: bot asks get_user {"id":"mia_kim_4397"} as c1
        t: bot calls get_user {"id":"mia_kim_4397"} as c1 -> {"bookings":["H9ZU1C","XL2C75"]}
        b: bot asks cancel {"booking":"XL2C75"} as c2
        v: bot calls cancel {"booking":"XL2C75"} as c2 -> cancelled
        c: bot infers Done, it is cancelled.
    "#), @r####"
    u: -
    a: value! u (value at `/0/id`), message? u (Adjacent)
    t: call! a (CallId), value! u (value at `/id`)
    b: value! t (value at `/0/booking`), context? a (HistoryPrefix), result? t (Adjacent)
    v: call! b (CallId), value! t (value at `/booking`)
    c: context? b (HistoryPrefix), result? v (Adjacent)
    "####);
}

#[test]
fn without_ids_name_and_arguments_decide_and_then_order() {
    assert_snapshot!(play(r#"
        a: bot asks get {"x":1,"y":"two"} ; get {"x":2} ; put {"x":1}
        p: bot calls put {"x": 1} -> ok
        g: bot calls get {"y": "two", "x": 1} -> one
        h: bot calls get -> two
        i: bot calls get {"x":9} -> nobody asked for this one
    "#), @r####"
    a: -
    p: call! a (NameAndArguments)
    g: call! a (NameAndArguments)
    h: call! a (Adjacent)
    i: context? h (Adjacent)
    "####);
}

#[test]
fn a_value_leads_to_where_it_was_first_and_not_to_where_it_was_last() {
    assert_snapshot!(play(r##"
        s: system stands Orders look like #W0000001. Today is 2024-05-15.
        u: user says hello
        a: bot asks list {} as c1
        t: bot calls list {} as c1 -> [{"id":"#W6390527"},{"id":"#W7800651"}]
        b: bot asks get {"order":"#W6390527"} as c2
        v: bot calls get {"order":"#W6390527"} as c2 -> {"id":"#W6390527","status":"delivered"}
        c: bot asks refund {"order":"W6390527","note":"see #W0000001","on":"2024-05-15"} as c3
        w: bot calls refund {"order":"W6390527","note":"see #W0000001","on":"2024-05-15"} as c3 -> ok
    "##), @r####"
    s: -
    u: context? s (Adjacent)
    a: message? u (Adjacent), context? s (HistoryPrefix)
    t: call! a (CallId)
    b: value! t (value at `/0/order`), context? a (HistoryPrefix), result? t (Adjacent)
    v: call! b (CallId), value! t (value at `/order`)
    c: value! t (value at `/0/order`), context? b (HistoryPrefix), result? v (Adjacent)
    w: call! c (CallId), value! t (value at `/order`)
    "####);
}

#[test]
fn values_that_anybody_could_think_of_prove_nothing() {
    assert_snapshot!(play(r#"
        t: bot calls look {} -> {"date":"2024-05-20","n":250,"size":"750ml","code":"JFK","cabin":"basic_economy"}
        v: bot calls book {"date":"2024-05-20","n":250,"size":"750ml","code":"JFK","cabin":"basic_economy"} -> ok
        w: bot calls book {"mail":"a.b@example.com"} -> ok
        x: bot calls send {"to":"a.b@example.com"} -> ok
    "#), @r####"
    t: -
    v: value? t (value at `/cabin`), context? t (Adjacent)
    w: context? v (Adjacent)
    x: value! w (value at `/to`), context? w (Adjacent)
    "####);
}

#[test]
fn nested_values_are_named_by_their_pointer() {
    assert_snapshot!(play(r#"
        t: bot calls look {} -> found https://example.com/reports/17 and C1001 and 5551234567
        v: bot calls do {"list":[{"a/b":"C1001"},"https://example.com/reports/17"],"text":"{\"phone\":5551234567}"} -> ok
        w: bot calls do {"deep":{"n":5551234567}} -> ok
    "#), @r####"
    t: -
    v: value! t (value at `/list/0/a~1b`), context? t (Adjacent)
    w: value! t (value at `/deep/n`), context? v (Adjacent)
    "####);
}

#[test]
fn a_long_passage_carried_over_is_certain_and_a_short_one_is_not() {
    assert_snapshot!(play(r#"
        r: reader infers the northern warehouse reported a leaking roof above aisle seven on monday and moved forty pallets of paper to the dry dock
        w: writer infers Summary: the northern warehouse reported a leaking roof above aisle seven on monday and moved forty pallets of paper to the dry dock
        x: writer infers Also, a leaking roof above aisle seven on monday is bad for paper.
    "#), @r####"
    r: -
    w: message! r (100 %)
    x: context? w (Adjacent)
    "####);
}

#[test]
fn whoever_is_addressed_depends_on_who_addressed_it() {
    assert_snapshot!(play(r#"
        q: human says find gyms near the museum
        p: boss infers plan the search for gyms
        i: boss tells surfer look for fitness centers within five miles
        n: boss infers next speaker surfer
        r: surfer infers I typed fitness centers within five miles
        s: boss infers check the list
    "#), @r####"
    q: -
    p: message? q (Adjacent)
    i: context? p (Adjacent)
    n: context? p (HistoryPrefix), context? i (Adjacent)
    r: message! i (Addressed), context? n (Adjacent)
    s: message? r (Adjacent), context? n (HistoryPrefix)
    "####);
}

#[test]
fn the_answered_turn_is_found_by_its_words() {
    assert_snapshot!(play(r#"
        i: boss infers please look for fitness centers within five miles of the museum
        n: boss infers next speaker surfer
        r: surfer infers I typed fitness centers within five miles into the search bar
        l: boss infers the list seems complete
    "#), @r####"
    i: -
    n: context? i (Adjacent)
    r: message? i (HistoryPrefix), context? n (Adjacent)
    l: message? r (Adjacent), context? n (HistoryPrefix)
    "####);
}

#[test]
fn edges_stay_few_in_a_long_history() {
    let mut script = String::new();
    for n in 0..200 {
        script += &format!("u{n}: user says tell me more\n a{n}: bot infers here is more\n");
    }
    let edges = play(&script).matches(" (").count();
    assert!(edges <= 200 * 4, "{edges} edges for 400 decisions");
}
