//! What a server says of the tool that takes another back, in plans.

use std::collections::BTreeMap;

use model::{DecisionId, EffectClass, Environment, Outcome, Strength};
use recover::plan::{Act, Fate, Incident, ToolCall};
use recover::{Call, Catalogue, Claim, Facts, Member, Plan};
use serde_json::{Value, json};

fn claim(parameters: Option<&[(&str, &str)]>) -> Claim {
    let owned = |(name, expression): &(&str, &str)| (name.to_string(), expression.to_string());
    Claim {
        tool: "refund".to_owned(),
        parameters: parameters.map(|parameters| parameters.iter().map(owned).collect()),
    }
}

/// The plan that takes back `charge`, which answered with `result`.
fn plan(claim: Claim, result: Value, catalogue: &str) -> Plan {
    let decision = DecisionId::new(0, [1; 10]);
    let facts = Facts {
        incident: Incident {
            roots: vec![decision],
            reason: String::new(),
        },
        members: vec![Member {
            decision,
            agent: "till".to_owned(),
            ring: Strength::Certain,
        }],
        calls: vec![Call {
            decision,
            server: "pay".to_owned(),
            tool: "charge".to_owned(),
            arguments: json!({"card": "visa", "amount": 5}),
            result: Some(result),
            outcome: Outcome::Succeeded,
            class: EffectClass::Compensable,
            claim: Some(claim),
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            undone: false,
        }],
        ..Facts::default()
    };
    recover::plan(&facts, &Catalogue::parse(catalogue).unwrap())
}

fn calls(plan: &Plan) -> Vec<&ToolCall> {
    let acts = plan.steps.iter().filter_map(|step| match &step.act {
        Act::Inverse { call, .. } => Some(call),
        _ => None,
    });
    acts.collect()
}

#[test]
fn the_tool_that_a_server_names_is_called_with_what_the_call_gave() {
    let parameters = [
        ("id", "$response.body#/transaction/id"),
        ("card", "$request.body#/card"),
        ("why", "rollback"),
    ];
    let result = json!({"transaction": {"id": 7}});
    let plan = plan(claim(Some(&parameters)), result, "");
    let [call] = calls(&plan)[..] else {
        panic!("one call: {plan:?}")
    };
    assert_eq!((&*call.server, &*call.tool), ("pay", "refund"));
    assert_eq!(
        call.arguments,
        json!({"id": 7, "card": "visa", "why": "rollback"})
    );
    assert!(matches!(plan.affected[0].fate, Fate::Residue(_)));
}

#[test]
fn what_cannot_be_filled_in_is_not_called_with_less() {
    for expression in [
        "$response.body#/id",
        "$response.header.x-id",
        "{$response.body#/transaction}-1",
    ] {
        let parameters = [("id", expression), ("card", "$request.body#/card")];
        let plan = plan(claim(Some(&parameters)), json!({"transaction": 7}), "");
        assert!(calls(&plan).is_empty());
        let Fate::Blocked(why) = &plan.affected[0].fate else {
            panic!("{:?}", plan.affected[0].fate)
        };
        assert!(
            why.contains(expression) && why.contains("`refund`"),
            "{why}"
        );
    }
}

#[test]
fn the_operators_word_on_an_undo_goes_before_the_servers() {
    let parameters = [("id", "$response.body#/id")];
    let planned = |parameters, catalogue| plan(claim(parameters), json!({"id": 7}), catalogue);
    let none = planned(
        Some(&parameters[..]),
        "[tools.charge]\nserver = \"pay\"\nundo = \"none\"\n",
    );
    assert!(calls(&none).is_empty());
    assert!(matches!(none.affected[0].fate, Fate::Stands(_)));
    let own = planned(
        Some(&parameters[..]),
        "[tools.charge]\nserver = \"pay\"\nundo = { tool = \"void\", args = { id = \"{result.id}\" } }\n",
    );
    assert_eq!(calls(&own)[0].tool, "void");
    // Nobody says with what it is called, so it stands.
    let bare = planned(None, "");
    assert!(matches!(bare.affected[0].fate, Fate::Stands(_)));
}

#[test]
fn a_claim_is_the_same_after_its_way_through_an_environment() {
    for parameters in [
        None,
        Some(&[][..]),
        Some(&[("a", "$response.body"), ("b", "")][..]),
    ] {
        let claim = claim(parameters);
        let mut environment = Environment(claim.entries().collect());
        assert_eq!(Claim::of(&environment), Some(claim.clone()));
        // What lost a parameter on the way says no longer how it is called.
        if parameters.is_some_and(|parameters| !parameters.is_empty()) {
            environment.0.remove("compensation.parameters.a");
            assert_eq!(Claim::of(&environment).unwrap().parameters, None);
        }
    }
    assert_eq!(Claim::of(&Environment::default()), None);
}
