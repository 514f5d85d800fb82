//! Causes inferred from resent histories, as a gateway sees them.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use lineage::{Asked, History, Item, Options, Role, Seen, Tracer};
use model::{DecisionId, Kind, RunId};

use crate::play::print;

/// A gateway with a tracer, and the history that each agent keeps and resends.
struct Gateway {
    tracer: Tracer,
    labels: BTreeMap<DecisionId, String>,
    out: String,
}

/// Id, tool and arguments of a call; a tool message has the id alone.
type Called = (String, String, String);

#[derive(Clone)]
struct Chat {
    run: u64,
    items: Vec<(Role, String, Option<Called>)>,
}

impl Chat {
    fn new(run: u64) -> Self {
        let items = vec![(
            Role::System,
            "You are an agent of ACME-1000.".to_owned(),
            None,
        )];
        Self { run, items }
    }

    fn hears(&mut self, text: &str) {
        self.items.push((Role::User, text.to_owned(), None));
    }

    fn reads(&mut self, id: &str, text: &str) {
        let call = Some((id.to_owned(), String::new(), String::new()));
        self.items.push((Role::Tool, text.to_owned(), call));
    }
}

impl Gateway {
    fn new(options: Options) -> Self {
        Self {
            tracer: Tracer::new(options),
            labels: BTreeMap::new(),
            out: String::new(),
        }
    }

    fn note(&mut self, label: &str) -> DecisionId {
        let id = DecisionId::new(self.labels.len() as u64 + 1, [0; 10]);
        self.labels.insert(id, label.to_owned());
        id
    }

    /// One request: the causes of sending it, then those that its answer adds.
    fn asks(
        &mut self,
        label: &str,
        chat: &mut Chat,
        answer: &str,
        call: Option<(&str, &str, &str)>,
    ) {
        let decision = self.note(label);
        let asked: Vec<Vec<Asked<'_>>> = chat
            .items
            .iter()
            .map(|(role, _, call)| match (role, call) {
                (Role::Assistant, Some((id, name, arguments))) => vec![Asked {
                    id: Some(id),
                    name,
                    arguments,
                }],
                _ => Vec::new(),
            })
            .collect();
        let items: Vec<Item<'_>> = chat
            .items
            .iter()
            .zip(&asked)
            .map(|((role, text, call), asked)| Item {
                role: *role,
                text,
                asked,
                call_id: call
                    .as_ref()
                    .filter(|_| *role == Role::Tool)
                    .map(|call| call.0.as_str()),
            })
            .collect();
        let run = RunId::new(chat.run, [0; 10]);
        let mut seen = Seen::new(decision, run, "agent", Kind::Inference);
        seen.history = History::Sent(&items);
        let sent = print(&self.tracer.observe(&seen), &self.labels);
        let calls: Vec<Asked<'_>> = call
            .iter()
            .map(|(id, name, arguments)| Asked {
                id: Some(id),
                name,
                arguments,
            })
            .collect();
        seen.output = Some(answer);
        seen.asked = &calls;
        let answered = print(&self.tracer.complete(&seen), &self.labels);
        self.out += &format!("{label}: {sent} | {answered}\n");
        let call = call.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        chat.items.push((Role::Assistant, answer.to_owned(), call));
    }

    /// A message from outside, recorded by itself.
    fn says(&mut self, label: &str, run: u64, text: &str) {
        let decision = self.note(label);
        let run = RunId::new(run, [0; 10]);
        let mut seen = Seen::new(decision, run, "user", Kind::Message);
        seen.output = Some(text);
        let causes = print(&self.tracer.observe(&seen), &self.labels);
        self.out += &format!("{label}: {causes}\n");
    }

    /// A call as a tool server sees it: no id, no history.
    fn serves(&mut self, label: &str, run: u64, name: &str, arguments: &str, result: &str) {
        let decision = self.note(label);
        let run = RunId::new(run, [0; 10]);
        let mut seen = Seen::new(decision, run, "agent", Kind::ToolCall);
        seen.name = Some(name);
        seen.arguments = Some(arguments);
        let called = print(&self.tracer.observe(&seen), &self.labels);
        seen.output = Some(result);
        let returned = print(&self.tracer.complete(&seen), &self.labels);
        self.out += &format!("{label}: {called} | {returned}\n");
    }
}

#[test]
fn a_resent_history_links_only_what_is_new() {
    let mut gateway = Gateway::new(Options::default());
    let mut chat = Chat::new(1);
    chat.hears("Where is my order?");
    let call = ("c1", "list_orders", r#"{"user":"me"}"#);
    gateway.asks("a", &mut chat, "", Some(call));
    gateway.serves(
        "t",
        1,
        call.1,
        r#"{"user": "me"}"#,
        "order W6390527 is late",
    );
    chat.reads("c1", "order W6390527 is late");
    gateway.asks("b", &mut chat, "Your order W6390527 is late.", None);
    chat.hears("Cancel it.");
    let call = ("c2", "cancel", r#"{"order":"W6390527"}"#);
    gateway.asks("c", &mut chat, "", Some(call));
    gateway.serves("v", 1, call.1, call.2, "done");
    chat.reads("c2", "done");
    gateway.asks("d", &mut chat, "It is cancelled.", None);
    assert_snapshot!(gateway.out, @r####"
    a: - | -
    t: call! a (NameAndArguments) | -
    b: context? a (EqualText), result? t (CallId) | value! t (value at ``)
    c: context? b (EqualText) | value! t (value at `/0/order`)
    v: call! c (NameAndArguments), value! t (value at `/order`) | -
    d: context? c (EqualText), result? v (CallId) | -
    "####);
}

#[test]
fn a_shortened_history_goes_on_from_the_last_known_message() {
    let mut gateway = Gateway::new(Options::default());
    let mut chat = Chat::new(1);
    chat.hears("one");
    gateway.asks("a", &mut chat, "The first answer.", None);
    chat.hears("two");
    gateway.asks("b", &mut chat, "The second answer.", None);
    chat.items.drain(1..3);
    chat.hears("three");
    gateway.asks("c", &mut chat, "The third answer.", None);
    assert_snapshot!(gateway.out, @r####"
    a: - | -
    b: context? a (EqualText) | -
    c: context? b (EqualText) | -
    "####);
}

#[test]
fn a_fork_depends_on_the_branch_that_it_resends() {
    let mut gateway = Gateway::new(Options::default());
    let mut chat = Chat::new(1);
    chat.hears("one");
    gateway.asks("a", &mut chat, "The first answer.", None);
    let mut other = chat.clone();
    chat.hears("left");
    gateway.asks("b", &mut chat, "The left answer.", None);
    other.hears("right");
    gateway.asks("c", &mut other, "The right answer.", None);
    assert_snapshot!(gateway.out, @r####"
    a: - | -
    b: context? a (EqualText) | -
    c: context? a (EqualText) | -
    "####);
}

const NEWS: &str = "the northern warehouse reported a leaking roof above aisle seven on monday \
    and moved forty pallets of paper to the dry dock until the roof has been mended again";

#[test]
fn agents_behind_two_gateways_are_linked_by_the_text_that_they_pass_on() {
    let mut gateway = Gateway::new(Options {
        across_runs: true,
        ..Options::default()
    });
    let (mut first, mut second, mut third) = (Chat::new(1), Chat::new(2), Chat::new(3));
    first.hears("What is new?");
    gateway.asks("a", &mut first, NEWS, None);
    second.hears(&format!("A colleague says: {NEWS} Please answer."));
    gateway.asks("b", &mut second, "Thank you, noted.", None);
    third.hears(NEWS);
    gateway.asks("c", &mut third, "Thank you.", None);
    assert_snapshot!(gateway.out, @r####"
    a: - | -
    b: message! a (100 %) | -
    c: message! a (EqualText) | -
    "####);
}

#[test]
fn a_machine_made_value_links_runs_only_where_it_is_used() {
    let mut gateway = Gateway::new(Options {
        across_runs: true,
        ..Options::default()
    });
    let (mut first, mut second) = (Chat::new(1), Chat::new(2));
    first.hears("Make a report.");
    gateway.serves(
        "t",
        1,
        "make",
        "{}",
        "made be94a3ac-fa39-4bb1-aa26-72333c9eb098",
    );
    gateway.asks("a", &mut first, "It is made.", None);
    second.hears("Send be94a3ac-fa39-4bb1-aa26-72333c9eb098 and order W1234567 to Ann.");
    let call = (
        "c1",
        "send",
        r#"{"report":"be94a3ac-fa39-4bb1-aa26-72333c9eb098"}"#,
    );
    gateway.asks("b", &mut second, "", Some(call));
    gateway.serves("v", 2, call.1, call.2, "sent");
    assert_snapshot!(gateway.out, @r####"
    t: - | -
    a: - | -
    b: value? t (value at ``) | value! t (value at `/0/report`)
    v: call! b (NameAndArguments), value! t (value at `/report`) | -
    "####);
}

#[test]
fn two_people_who_say_the_same_do_not_link_their_runs() {
    let mut gateway = Gateway::new(Options {
        across_runs: true,
        ..Options::default()
    });
    for (run, label) in [(1, "a"), (2, "b")] {
        let mut chat = Chat::new(run);
        gateway.says(&format!("u{label}"), run, NEWS);
        chat.hears(NEWS);
        gateway.asks(label, &mut chat, "I see.", None);
    }
    assert_snapshot!(gateway.out, @r####"
    ua: -
    a: message? ua (EqualText) | -
    ub: -
    b: message? ub (EqualText) | -
    "####);
}

#[test]
fn recordings_that_have_nothing_to_do_with_each_other_stay_apart() {
    let mut gateway = Gateway::new(Options::default());
    for (run, label) in [(1, "a"), (2, "b")] {
        let mut chat = Chat::new(run);
        chat.hears(NEWS);
        gateway.asks(label, &mut chat, NEWS, None);
    }
    assert_eq!(gateway.out, "a: - | -\nb: - | -\n");
}

#[test]
fn a_history_says_which_run_it_continues() {
    let mut gateway = Gateway::new(Options::default());
    let mut chats = [Chat::new(1), Chat::new(2)];
    for (chat, label) in chats.iter_mut().zip(["a", "b"]) {
        chat.hears(label);
        gateway.asks(label, chat, "An answer.", None);
    }
    let items: Vec<Item<'_>> = chats[0]
        .items
        .iter()
        .map(|(role, text, _)| Item {
            role: *role,
            text,
            asked: &[],
            call_id: None,
        })
        .collect();
    let (run, decision) = gateway
        .tracer
        .continues(&items)
        .expect("it was sent before");
    assert_eq!(run, RunId::new(1, [0; 10]));
    assert_eq!(gateway.labels[&decision], "a");
    assert_eq!(gateway.tracer.continues(&items[2..]), None);
    gateway.tracer.forget(run);
    assert_eq!(gateway.tracer.continues(&items), None);
}

/// With the seed that is the default, a chain over a history once was the exclusive or of its
/// messages: in another order they were the same history, and two equal ones were none.
#[test]
fn messages_in_another_order_or_number_are_another_history() {
    let item = |text| Item {
        role: Role::User,
        text,
        asked: &[],
        call_id: None,
    };
    let known = [item("go on"), item("stop"), item("go on")];
    let mut tracer = Tracer::new(Options::default());
    let mut seen = Seen::new(
        DecisionId::new(1, [0; 10]),
        RunId::new(1, [0; 10]),
        "a",
        Kind::Inference,
    );
    seen.history = History::Sent(&known);
    seen.output = Some("stopped");
    let _ = tracer.observe(&seen);
    assert!(tracer.continues(&known).is_some());
    for other in [
        vec![item("stop")],
        vec![item("stop"), item("go on"), item("go on")],
        vec![item("go on"), item("go on"), item("stop")],
    ] {
        assert_eq!(tracer.continues(&other), None);
    }
}

#[test]
fn equal_calls_in_a_loop_depend_on_no_earlier_one_for_what_came_from_outside() {
    let mut gateway = Gateway::new(Options::default());
    let mut chat = Chat::new(1);
    chat.hears("Wait until W6390527 is out, and then write to whoever ordered it, as always.");
    for turn in ["1", "2", "3"] {
        let id = format!("c{turn}");
        let call = (&*id, "status", r#"{"order":"W6390527"}"#);
        gateway.asks(&format!("a{turn}"), &mut chat, "", Some(call));
        gateway.serves(&format!("t{turn}"), 1, call.1, call.2, "W6390527 waits");
        chat.reads(&id, "W6390527 waits");
    }
    let quoted = "I wait until W6390527 is out, and then write to whoever ordered it, as always.";
    gateway.asks("b", &mut chat, quoted, None);
    // What the model made up itself is its own, also when it says it again.
    let mut chat = Chat::new(2);
    chat.hears("Look for news.");
    for turn in ["4", "5"] {
        let id = format!("c{turn}");
        let call = (&*id, "fetch", r#"{"url":"https://news.test/a1b2c3d4"}"#);
        gateway.asks(&format!("a{turn}"), &mut chat, "", Some(call));
        gateway.serves(&format!("t{turn}"), 2, call.1, call.2, "nothing");
        chat.reads(&id, "nothing");
    }
    assert_snapshot!(gateway.out, @r####"
    a1: - | -
    t1: call! a1 (NameAndArguments) | -
    a2: context? a1 (EqualText), result? t1 (CallId) | -
    t2: call! a2 (NameAndArguments) | -
    a3: context? a2 (EqualText), result? t2 (CallId) | -
    t3: call! a3 (NameAndArguments) | -
    b: context? a3 (EqualText), result? t3 (CallId) | -
    a4: - | -
    t4: call! a4 (NameAndArguments) | -
    a5: context? a4 (EqualText), result? t4 (CallId) | value! a4 (value at `/0/url`)
    t5: call! a5 (NameAndArguments), value! a4 (value at `/url`) | -
    "####);
}

#[test]
fn what_a_call_brought_that_only_its_asker_is_known_of_is_the_askers() {
    let mut gateway = Gateway::new(Options::default());
    let mut chat = Chat::new(1);
    chat.hears("Cancel what is late.");
    gateway.asks("a", &mut chat, "", Some(("c1", "list_orders", "{}")));
    chat.reads("c1", "order W6390527 is late");
    for (label, id) in [("b", "c2"), ("c", "c3")] {
        let call = (id, "cancel", r#"{"order":"W6390527"}"#);
        gateway.asks(label, &mut chat, "", Some(call));
        chat.reads(id, "try again");
    }
    assert_snapshot!(gateway.out, @r####"
    a: - | -
    b: context? a (EqualText), result? a (CallId) | value! a (value at `/0/order`)
    c: context? b (EqualText), result? b (CallId) | value! a (value at `/0/order`)
    "####);
}

#[test]
fn what_one_agent_was_told_from_outside_another_has_from_it() {
    let mut tracer = Tracer::new(Options::default());
    let mut labels = BTreeMap::new();
    let mut out = String::new();
    let run = RunId::new(1, [0; 10]);
    let call = [Asked {
        id: None,
        name: "refund",
        arguments: r#"{"order":"W6390527"}"#,
    }];
    for (at, agent, told) in [
        (1, "desk", "Take care of W6390527."),
        (2, "till", "Do it."),
        (3, "desk", "Go on."),
    ] {
        let id = DecisionId::new(at, [0; 10]);
        labels.insert(id, format!("{agent}{at}"));
        let items = [Item {
            role: Role::User,
            text: told,
            asked: &[],
            call_id: None,
        }];
        let mut seen = Seen::new(id, run, agent, Kind::Inference);
        seen.history = History::Sent(&items);
        seen.output = Some("");
        seen.asked = &call;
        let causes = print(&tracer.observe(&seen), &labels);
        out += &format!("{agent}{at}: {causes}\n");
    }
    assert_snapshot!(out, @r####"
    desk1: -
    till2: value! desk1 (value at `/0/order`)
    desk3: -
    "####);
}
