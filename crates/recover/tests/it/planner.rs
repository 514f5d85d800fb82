//! Plans for small incidents: one line of a story is one decision.

use std::collections::BTreeMap;

use model::{CauseKind, DecisionId, Edge, Evidence, Outcome, Strength};
use recover::plan::{Act, Fate, Incident, Plan, Possible, Rule, Torn};
use recover::{Call, Checkpoint, Facts, Member, plan};
use serde_json::{Value, json};

use crate::world::{World, catalogue, id};

/// A story: what was there, and calls after each other. The first is decision 1.
pub(crate) struct Story {
    world: World,
    pub(crate) calls: Vec<Call>,
}

impl Story {
    pub(crate) fn new() -> Self {
        let row = |name: &str| json!({"id": name, "a": 1, "b": "old", "learned": 0});
        let records = [
            ("rows/r", row("r")),
            ("rows/s", row("s")),
            ("files/f", json!({"text": "one "})),
            ("accounts/x", json!({"balance": 10})),
        ];
        let records = records.map(|(uri, record)| (uri.to_owned(), record));
        Self {
            world: World(BTreeMap::from(records)),
            calls: Vec::new(),
        }
    }

    pub(crate) fn call(mut self, tool: &str, args: Value) -> Self {
        let decision = id(self.calls.len() + 1);
        let call = self.world.perform(&catalogue(), decision, tool, args);
        self.calls.push(call);
        self
    }

    pub(crate) fn facts(&self, drop: &[usize]) -> Facts {
        let member = |number: &usize| Member {
            decision: id(*number),
            agent: format!("agent-{}", number % 2),
            ring: Strength::Certain,
        };
        Facts {
            incident: Incident {
                roots: vec![id(drop[0])],
                reason: "it read the wrong page".to_owned(),
            },
            size: 100,
            members: drop.iter().map(member).collect(),
            calls: self.calls.clone(),
            current: self.world.now(&self.calls),
            ..Facts::default()
        }
    }

    fn plan(&self, drop: &[usize]) -> Plan {
        plan(&self.facts(drop), &catalogue())
    }

    /// Carries the plan without these out, and returns the world after it.
    fn without(&self, drop: &[usize]) -> World {
        let plan = self.plan(drop);
        let mut world = self.world.clone();
        assert_eq!(world.carry_out(&plan, |_| 0), [""; 0], "{plan}");
        world
    }

    /// The world where only the other calls were made.
    fn never(&self, drop: &[usize]) -> World {
        let mut world = Self::new().world;
        for (number, call) in self.calls.iter().enumerate() {
            if !drop.contains(&(number + 1)) {
                let _ = world.call(&call.tool, &call.arguments);
            }
        }
        world
    }
}

pub(crate) fn fates(plan: &Plan) -> Vec<Fate> {
    plan.affected
        .iter()
        .map(|affected| affected.fate.clone())
        .collect()
}

pub(crate) fn acts(plan: &Plan) -> Vec<String> {
    let minds = |act: &&Act| {
        !matches!(
            act,
            Act::Hold { .. } | Act::Repair { .. } | Act::Resume { .. }
        )
    };
    plan.steps
        .iter()
        .map(|step| &step.act)
        .filter(minds)
        .map(Act::to_string)
        .collect()
}

#[test]
fn c34_a_plan_says_everything_before_anything_runs() {
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("send", json!({"id": "r", "letter": "l"}))
        .call("read_file", json!({"path": "f"}))
        .call("pay", json!({"account": "x", "amount": 3}))
        .call("set_b", json!({"id": "s", "b": "other"}));
    let mut facts = story.facts(&[1, 2, 3, 4]);
    facts.checkpoints.push(Checkpoint {
        decision: id(90),
        agent: "agent-1".to_owned(),
    });
    facts.possible.push(Possible {
        decision: id(5),
        cause: id(1),
        evidence: Evidence::Adjacent,
        effects: Vec::new(),
    });
    insta::assert_snapshot!(plan(&facts, &catalogue()), @"
    Takes back 1 decision: it read the wrong page
    Of 4 concerned: 1 nothing to undo, 1 stand, 2 undone

    What becomes of each
      00000000-0001-7000-8000-000000000000  undone (step 3)
      00000000-0002-7000-8000-000000000000  stands; to be told: customer, desk (step 7)
      00000000-0003-7000-8000-000000000000  nothing to undo
      00000000-0004-7000-8000-000000000000  undone (step 2)

    May depend on it, and stays
      00000000-0005-7000-8000-000000000000  on 00000000-0001-7000-8000-000000000000: comes right before it in the same history

    Steps
        1  hold agent-0, agent-1
        2  put back /balance of accounts/x (after 1)
        3  put back /b of rows/r (after 1)
        4  repair what agent-0 remembers (after 1)
        5  have agent-1 go back to the state of 00000000-005a-7000-8000-000000000000: it asks for it with `restore` of the API (after 1)
        6  repair what agent-1 remembers (after 5)
        7  tell customer, desk: cannot be taken back and stands: `send` (after 1)
        8  resume agent-0, agent-1 (after 2 to 4, 6, 7)
    ");
}

#[test]
fn a_plan_names_its_decisions_where_somebody_knows_their_names() {
    let story = Story::new().call("set_b", json!({"id": "r", "b": "new"}));
    let mut plan = story.plan(&[1]);
    plan.incident.reason.clear();
    plan.torn.push(Torn {
        decision: id(2),
        relies_on: id(1),
        why: "the row would\nnot be there".to_owned(),
    });
    let name = |decision| (decision == id(1)).then(|| "ada set_b\u{1b}[2J".to_owned());
    let told = plan.told(&name).to_string();
    let lines: Vec<&str> = told.lines().take(7).collect();
    assert_eq!(
        lines,
        [
            "Takes back 1 decision",
            "Of 1 concerned: 1 undone",
            "",
            "What becomes of each",
            "  00000000-0001-7000-8000-000000000000  ada set_b\u{fffd}[2J: undone (step 2)",
            "",
            "Cannot stand without it",
        ]
    );
    let torn = "  00000000-0002-7000-8000-000000000000  relies on 00000000-0001-7000-8000-000000000000: the row would\u{fffd}not be there";
    assert_eq!(told.lines().nth(7), Some(torn));
}

#[test]
fn a_field_that_nobody_kept_touched_is_put_back_alone() {
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("add_a", json!({"id": "r", "n": 4}));
    assert_eq!(acts(&story.plan(&[1])), ["put back /b of rows/r"]);
    assert_eq!(story.without(&[1]), story.never(&[1]));
}

#[test]
fn a_kept_call_on_the_same_field_runs_again() {
    let story = Story::new()
        .call("append_file", json!({"path": "f", "text": "two "}))
        .call("append_file", json!({"path": "f", "text": "three"}));
    let plan = story.plan(&[1]);
    assert_eq!(
        acts(&plan),
        ["put back /text of files/f", "run `append_file` again"]
    );
    assert_eq!(story.without(&[1]).0["files/f"]["text"], "one three");
}

#[test]
fn a_kept_call_that_read_what_is_put_back_runs_again_elsewhere() {
    let story = Story::new()
        .call("add_a", json!({"id": "r", "n": 4, "key": "k1"}))
        .call("copy", json!({"from": "r", "to": "s"}))
        .call("add_a", json!({"id": "r", "n": 10, "key": "k2"}))
        .call("set_b", json!({"id": "r", "b": "stays"}));
    let plan = story.plan(&[1]);
    assert_eq!(story.without(&[1]), story.never(&[1]), "{plan}");
    // A key that was used must not be used again: the call would be answered as then.
    let again = plan.steps.iter().filter_map(|step| match &step.act {
        Act::Again { call, .. } => Some(&call.arguments["key"]),
        _ => None,
    });
    assert_eq!(again.collect::<Vec<_>>(), [&Value::Null, &json!("{key}")]);
}

#[test]
fn a_call_that_names_a_record_twice_touches_it_once() {
    let story = Story::new()
        .call("add_a", json!({"id": "r", "n": 4}))
        .call("copy", json!({"from": "r", "to": "r"}))
        .call("set_b", json!({"id": "s", "b": "new"}));
    let plan = story.plan(&[1]);
    assert_eq!(plan.conflicts, []);
    assert_eq!(story.without(&[1]), story.never(&[1]), "{plan}");
    assert_eq!(story.without(&[2]), story.never(&[2]));
}

#[test]
fn what_was_overwritten_since_needs_nothing() {
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("set_b", json!({"id": "r", "b": "newer"}));
    let plan = story.plan(&[1]);
    assert_eq!(
        (acts(&plan), fates(&plan)),
        (vec![], vec![Fate::NothingToUndo])
    );
}

#[test]
fn a_record_that_was_made_is_deleted_and_one_that_was_deleted_is_made() {
    let story = Story::new()
        .call("insert_row", json!({"id": "t", "a": 7}))
        .call("delete_row", json!({"id": "s"}));
    assert_eq!(
        acts(&story.plan(&[1, 2])),
        ["put back all of rows/s", "delete rows/t"]
    );
    assert_eq!(story.without(&[1, 2]), story.never(&[1, 2]));
}

#[test]
fn kept_calls_that_cannot_stand_are_found_before_anything_runs() {
    let story = Story::new()
        .call("insert_row", json!({"id": "t", "a": 7}))
        .call("set_b", json!({"id": "t", "b": "x"}))
        .call("pay", json!({"account": "x", "amount": -5}))
        .call("pay", json!({"account": "x", "amount": 12}))
        .call("pay", json!({"account": "x", "amount": 1}));
    let plan = story.plan(&[1, 3]);
    let torn: Vec<String> = plan.torn.iter().map(|torn| torn.why.clone()).collect();
    assert_eq!(
        torn,
        [
            "`rows/t` would not be there",
            "`before.account.balance >= args.amount` would not hold"
        ]
    );
    let relies: Vec<DecisionId> = plan.torn.iter().map(|torn| torn.relies_on).collect();
    assert_eq!(relies, [id(1), id(3)]);
    assert!(!plan.is_whole());
    assert_eq!(story.without(&[1, 3]), story.never(&[1, 2, 3, 4]));
}

#[test]
fn an_id_that_is_free_without_it_is_taken_by_the_kept_call() {
    let story = Story::new()
        .call("insert_row", json!({"id": "t", "a": 7}))
        .call("delete_row", json!({"id": "t"}))
        .call("insert_row", json!({"id": "t", "a": 8}));
    // Without the deletion the second one would have been refused.
    let plan = story.plan(&[2]);
    assert_eq!(plan.torn[0].decision, id(3));
    assert_eq!(story.without(&[2]), story.never(&[2, 3]));
}

#[test]
fn c35_what_is_marked_keep_survives() {
    let story = Story::new().call("learn", json!({"id": "r", "b": "habit"}));
    let after = story.without(&[1]);
    assert_eq!(after.0["rows/r"]["learned"], "habit");
    assert_eq!(after.0["rows/r"]["b"], "old");
}

#[test]
fn c42_what_cannot_be_taken_back_stands_and_somebody_is_told() {
    let story = Story::new().call("send", json!({"id": "r", "letter": "l"}));
    let plan = story.plan(&[1]);
    let who = vec!["customer".to_owned(), "desk".to_owned()];
    assert_eq!(fates(&plan), [Fate::Stands(who)]);
    let told = "tell customer, desk: cannot be taken back and stands: `send`";
    assert_eq!(acts(&plan), [told]);
}

#[test]
fn a_kept_letter_that_quoted_it_is_told_and_never_sent_again() {
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("send", json!({"id": "r", "letter": "l"}));
    let plan = story.plan(&[1]);
    assert_eq!(acts(&plan), ["put back /b of rows/r"]);
    assert_eq!(plan.torn[0].why, "it was done on `rows/r` as it was");
}

#[test]
fn what_a_stranger_wrote_since_is_settled_by_rule_or_by_a_person() {
    let mut story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("pay", json!({"account": "x", "amount": 3}));
    story.world.0.get_mut("rows/r").unwrap()["b"] = "stranger".into();
    story.world.0.get_mut("accounts/x").unwrap()["balance"] = 2.into();
    let plan_of = |rules: &[(&str, Rule)]| {
        let mut facts = story.facts(&[1, 2]);
        facts.rules = rules
            .iter()
            .map(|(uri, rule)| ((*uri).to_owned(), *rule))
            .collect();
        plan(&facts, &catalogue())
    };
    let by_rule = plan_of(&[]);
    let said: Vec<String> = by_rule.conflicts.iter().map(ToString::to_string).collect();
    let stranger = "by somebody whom the record does not know";
    let expected = [
        format!("/b of rows/r {stranger}: stays"),
        format!("/balance of accounts/x {stranger}: is put back all the same"),
    ];
    assert_eq!(said, expected);
    assert_eq!(acts(&by_rule), ["put back /balance of accounts/x"]);
    let left = "`/b` of `rows/r` stays as written since".to_owned();
    assert_eq!(fates(&by_rule), [Fate::Residue(left), Fate::Undone]);
    let asked = plan_of(&[("rows/r", Rule::Ask), ("accounts/x", Rule::KeepNewer)]);
    assert_eq!(asked.conflicts[0].settled, None);
    assert_eq!(acts(&asked), [""; 0]);
    let answered = plan_of(&[("rows/r", Rule::RestoreField)]);
    assert_eq!(acts(&answered).len(), 2);
    insta::assert_snapshot!(by_rule.diff(&answered).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @"
    ~ conflict rows/r: /b of rows/r by somebody whom the record does not know: stays -> /b of rows/r by somebody whom the record does not know: is put back all the same
    ~ decision 00000000-0001-7000-8000-000000000000: undone, and leaves over: `/b` of `rows/r` stays as written since -> undone
    + step `put back /b of rows/r` for 00000000-0001-7000-8000-000000000000: after hold agent-0, agent-1
    ");
    assert_eq!(by_rule.diff(&by_rule.clone()), []);
}

#[test]
fn what_a_stranger_wrote_elsewhere_is_left_alone() {
    let mut story = Story::new().call("set_b", json!({"id": "r", "b": "new"}));
    story.world.0.get_mut("rows/r").unwrap()["a"] = 99.into();
    let after = story.without(&[1]);
    assert_eq!(
        after.0["rows/r"],
        json!({"id": "r", "a": 99, "b": "old", "learned": 0})
    );
}

fn booked(outcome: Outcome, result: Option<Value>, days: u32) -> Plan {
    let mut story = Story::new().call("book", json!({"of": "me", "days": days}));
    story.calls[0].outcome = outcome;
    story.calls[0].result = result;
    story.plan(&[1])
}

#[test]
fn an_inverse_is_called_and_its_residue_stated() {
    let booking = Some(json!({"booking": 4}));
    let exact = booked(Outcome::Succeeded, booking.clone(), 3);
    assert_eq!(
        (acts(&exact), fates(&exact)),
        (vec!["call `unbook`".to_owned()], vec![Fate::Undone])
    );
    let residue = booked(Outcome::Succeeded, booking, 2);
    assert_eq!(fates(&residue), [Fate::Residue("a fee".to_owned())]);
}

#[test]
fn an_undo_that_lacks_what_it_needs_keeps_its_place_and_says_why() {
    let plan = booked(Outcome::Succeeded, Some(json!({})), 3);
    let why = "the undo of `book` cannot be called: there is no `result.booking`";
    assert_eq!(fates(&plan), [Fate::Blocked(why.to_owned())]);
    assert_eq!(acts(&plan), [format!("cannot be done: {why}")]);
}

#[test]
fn c41_an_effect_that_nobody_knows_is_probed_or_parked_never_assumed() {
    let probed = booked(Outcome::Unknown, None, 3);
    assert_eq!(fates(&probed), [Fate::Probed]);
    assert_eq!(acts(&probed)[0], "ask `bookings` whether it happened");
    let mut story = Story::new().call("post", json!({}));
    story.calls[0].outcome = Outcome::Unknown;
    assert_eq!(fates(&story.plan(&[1])), [Fate::Parked]);
    // Images tell, too: the record is as it was, or it is not.
    let mut story = Story::new().call("set_b", json!({"id": "r", "b": "new"}));
    story.calls[0].outcome = Outcome::Unknown;
    story.calls[0].after.clear();
    assert_eq!(fates(&story.plan(&[1])), [Fate::Undone]);
    story.world.0.get_mut("rows/r").unwrap()["b"] = "old".into();
    assert_eq!(fates(&story.plan(&[1])), [Fate::NothingToUndo]);
}

#[test]
fn c39_what_was_taken_back_is_not_taken_back_again() {
    let mut story = Story::new()
        .call("add_a", json!({"id": "r", "n": 4}))
        .call("add_a", json!({"id": "r", "n": 10}));
    story.calls[0].undone = true;
    story.world.0.get_mut("rows/r").unwrap()["a"] = 11.into();
    let plan = story.plan(&[1]);
    assert_eq!(
        (acts(&plan), fates(&plan)),
        (vec![], vec![Fate::NothingToUndo])
    );
}

#[test]
fn who_took_a_later_call_back_is_no_stranger() {
    let mut story = Story::new()
        .call("add_a", json!({"id": "r", "n": 4}))
        .call("add_a", json!({"id": "r", "n": 10}));
    story.calls[1].undone = true;
    story.world.0.get_mut("rows/r").unwrap()["a"] = 5.into();
    let plan = story.plan(&[1]);
    assert_eq!(
        (plan.conflicts.len(), fates(&plan)),
        (0, vec![Fate::Undone])
    );
    assert_eq!(story.without(&[1]), story.never(&[1, 2]));
}

#[test]
fn c37_what_depends_is_taken_back_first_and_branches_side_by_side() {
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "1"}))
        .call("set_b", json!({"id": "s", "b": "2"}))
        .call("append_file", json!({"path": "f", "text": "3"}))
        .call("pay", json!({"account": "x", "amount": 1}));
    let mut facts = story.facts(&[1, 2, 3, 4]);
    let edge = |cause: usize, effect: usize| Edge {
        cause: id(cause),
        effect: id(effect),
        kind: CauseKind::Result,
        strength: Strength::Certain,
    };
    // 1 -> 2 -> 4, and 1 -> 3.
    facts.edges = vec![edge(1, 2), edge(2, 4), edge(1, 3)];
    let plan = plan(&facts, &catalogue());
    let after: Vec<(String, Vec<u32>)> = plan.steps[1..5]
        .iter()
        .map(|s| (s.act.to_string(), s.after.clone()))
        .collect();
    assert_eq!(
        after,
        [
            ("put back /balance of accounts/x".to_owned(), vec![1]),
            ("put back /text of files/f".to_owned(), vec![1]),
            ("put back /b of rows/s".to_owned(), vec![2]),
            ("put back /b of rows/r".to_owned(), vec![3, 4]),
        ]
    );
}

#[test]
fn a_plan_goes_back_to_the_latest_state_that_remembers_nothing_rescinded() {
    let saved = |number: usize, agent: usize| Checkpoint {
        decision: id(number),
        agent: format!("agent-{agent}"),
    };
    let edge = |cause: usize, effect: usize, strength| Edge {
        cause: id(cause),
        effect: id(effect),
        kind: CauseKind::Context,
        strength,
    };
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("set_b", json!({"id": "s", "b": "new"}));
    let mut facts = story.facts(&[1, 2]);
    facts.checkpoints = vec![saved(30, 0), saved(31, 0), saved(40, 1), saved(41, 1)];
    facts.rescinded = vec![id(9)];
    facts.behind = vec![
        // A state that may have come of what is taken back stays; a person left it out.
        edge(2, 31, Strength::Possible),
        edge(1, 40, Strength::Certain),
        // What was rescinded before is not gone back to either.
        edge(9, 41, Strength::Certain),
    ];
    let made = plan(&facts, &catalogue());
    let restores = made.steps.iter().filter_map(|step| match &step.act {
        Act::Restore { agent, checkpoint } => Some((agent.as_str(), *checkpoint)),
        _ => None,
    });
    let line: Vec<_> = restores.collect();
    assert_eq!(line, [("agent-0", Some(id(31))), ("agent-1", None)]);
}

#[test]
fn a_plan_is_the_same_after_it_was_stored() {
    let story = Story::new()
        .call("insert_row", json!({"id": "t", "a": 7}))
        .call("pay", json!({"account": "x", "amount": 3}));
    let plan = story.plan(&[1, 2]);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}
