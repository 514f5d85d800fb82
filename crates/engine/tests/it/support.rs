//! An engine to test with, and small runs to import.

use std::collections::HashMap;
use std::sync::Arc;

use engine::view::{GraphView, ImportView};
use engine::{Engine, ImportOptions, ManualClock};
use ledger::{SeededEntropy, Store};
use store::MemoryStore;
use wire::import::Format;

/// 2026-03-10T12:00:00Z.
pub(crate) const NOON: u64 = 1_773_144_000_000_000;

/// A desk that refunds what it should not: an order is looked up, a refund made, and told.
pub(crate) const REFUND: &str = r#"[
  {"role":"system","content":"You are the refund desk. Never guess an order."},
  {"role":"user","content":"Please refund order TH-48213, the headphones do not fit."},
  {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",
    "function":{"name":"get_order","arguments":"{\"order_id\":\"TH-48213\"}"}}]},
  {"role":"tool","tool_call_id":"call_1","content":"{\"order_id\":\"TH-48213\",\"payment\":\"PAY-30552\"}"},
  {"role":"assistant","content":"I refund it.","tool_calls":[{"id":"call_2","type":"function",
    "function":{"name":"issue_refund","arguments":"{\"payment\":\"PAY-30552\"}"}}]},
  {"role":"tool","tool_call_id":"call_2","content":"{\"refund\":\"RF-99120\"}"},
  {"role":"assistant","content":"Done, your refund is RF-99120.","x_unknown":{"kept":[1,2.50]}}
]"#;

pub(crate) struct Desk {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::over(Arc::new(MemoryStore::default())).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at(NOON));
        let entropy = Arc::new(SeededEntropy::new(7));
        let engine = Engine::start(store, clock.clone(), entropy).await.unwrap();
        Self { engine, clock }
    }

    pub(crate) async fn import(&self, text: &str) -> ImportView {
        let options = options(Format::OpenaiChat);
        let decoded = engine::decode_import(text.as_bytes(), options).unwrap();
        self.engine.import(&decoded, &mut |_, _| {}).await.unwrap()
    }

    pub(crate) async fn graph(&self, id: &str) -> GraphView {
        let of = self.engine.resolve(id).await.unwrap();
        self.engine.graph(of, 1_000).await.unwrap()
    }
}

pub(crate) fn options(format: Format) -> ImportOptions<'static> {
    ImportOptions {
        format,
        pointer: None,
        agent: None,
    }
}

/// A graph as text: each decision by its number, with its causes.
pub(crate) fn sketch(graph: &GraphView) -> String {
    let numbers: HashMap<&str, usize> = graph
        .nodes
        .iter()
        .zip(1..)
        .map(|(node, number)| (node.id.as_str(), number))
        .collect();
    let mut lines = Vec::new();
    for (node, number) in graph.nodes.iter().zip(1..) {
        let causes: Vec<String> = graph
            .edges
            .iter()
            .filter(|edge| edge.effect == node.id)
            .map(|edge| {
                let mark = if edge.strength == "certain" { "!" } else { "?" };
                format!("{}{}{mark}", edge.kind, numbers[edge.cause.as_str()])
            })
            .collect();
        let name = node.name.as_deref().unwrap_or("-");
        lines.push(format!(
            "{number} {} {} {name} [{}] <- {}",
            node.agent,
            node.kind,
            node.status,
            causes.join(" ")
        ));
    }
    lines.join("\n")
}
