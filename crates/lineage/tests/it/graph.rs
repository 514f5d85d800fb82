//! The graph against a brute-force oracle, on random graphs.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use lineage::{Blast, Graph, GraphError, find_cycle, rings_over};
use model::{Cause, CauseKind, DecisionId, Edge, Evidence, Strength};
use proptest::prelude::*;

fn id(n: usize) -> DecisionId {
    DecisionId::new(n as u64, [0; 10])
}

fn cause(n: usize, certain: bool) -> Cause {
    Cause {
        decision: id(n),
        evidence: Evidence::Value {
            at: format!("/{n}"),
        },
        kind: CauseKind::Value,
        strength: if certain {
            Strength::Certain
        } else {
            Strength::Possible
        },
    }
}

/// Edges `(cause, effect, certain)` of a random graph without cycles, and an order to insert
/// them in. Names are shuffled, so that arrival order is not causal order.
fn dags() -> impl Strategy<Value = (usize, Vec<(usize, usize, bool)>)> {
    (2..40usize)
        .prop_flat_map(|nodes| {
            let names = Just((0..nodes).collect::<Vec<_>>()).prop_shuffle();
            let edges = prop::collection::vec((0..nodes, 0..nodes, any::<bool>()), 0..nodes * 3);
            (Just(nodes), names, edges).prop_map(|(nodes, names, raw)| {
                let mut unique = BTreeMap::new();
                for (a, b, certain) in raw {
                    if a != b {
                        unique.entry((a.min(b), a.max(b))).or_insert(certain);
                    }
                }
                let edges = unique
                    .into_iter()
                    .map(|((a, b), certain)| (names[a], names[b], certain))
                    .collect::<Vec<_>>();
                (nodes, edges)
            })
        })
        .prop_flat_map(|(nodes, edges)| (Just(nodes), Just(edges).prop_shuffle()))
}

fn build(nodes: usize, edges: &[(usize, usize, bool)]) -> Graph {
    let mut graph = Graph::new();
    for node in 0..nodes {
        assert!(graph.insert(id(node)).expect("there is room"));
    }
    for &(from, to, certain) in edges {
        let new = graph.link(id(to), &cause(from, certain));
        assert!(new.expect("the edges close no cycle"));
    }
    graph
}

/// Closure by repeated sweeps over all edges: slow and plainly right. Gives depths.
fn closure(start: usize, edges: &[(usize, usize)]) -> BTreeMap<usize, u32> {
    let mut depths = BTreeMap::from([(start, 0)]);
    loop {
        let mut changed = false;
        for &(from, to) in edges {
            if let Some(&depth) = depths.get(&from) {
                let known = depths.get(&to).copied().unwrap_or(u32::MAX);
                if depth + 1 < known {
                    depths.insert(to, depth + 1);
                    changed = true;
                }
            }
        }
        if !changed {
            depths.remove(&start);
            return depths;
        }
    }
}

fn forward(edges: &[(usize, usize, bool)]) -> Vec<(usize, usize)> {
    edges.iter().map(|&(a, b, _)| (a, b)).collect()
}

fn depths<'a>(found: impl IntoIterator<Item = &'a (DecisionId, u32)>) -> BTreeMap<DecisionId, u32> {
    found.into_iter().copied().collect()
}

fn named(found: &BTreeMap<usize, u32>) -> BTreeMap<DecisionId, u32> {
    found.iter().map(|(&n, &d)| (id(n), d)).collect()
}

fn check_blast(blast: &Blast, nodes: &[(usize, usize, bool)], origin: usize) {
    let sure: Vec<_> = nodes.iter().filter(|e| e.2).map(|e| (e.0, e.1)).collect();
    let certain = closure(origin, &sure);
    let mut possible = closure(origin, &forward(nodes));
    possible.retain(|node, _| !certain.contains_key(node));
    let list = |ring: &[lineage::Touched]| -> Vec<_> {
        ring.iter().map(|t| (t.decision, t.depth)).collect()
    };
    assert_eq!(depths(&list(&blast.certain)), named(&certain));
    assert_eq!(depths(&list(&blast.possible)), named(&possible));
    assert_eq!(
        blast.len(),
        certain.len() + possible.len(),
        "no decision twice"
    );
    for ring in [&blast.certain, &blast.possible] {
        assert!(ring.windows(2).all(|w| w[0].depth <= w[1].depth));
        for touched in ring {
            assert_eq!(touched.via.effect, touched.decision);
        }
    }
    assert!(
        blast
            .certain
            .iter()
            .all(|t| t.via.strength == Strength::Certain)
    );
}

proptest! {
    #[test]
    fn c2_causal_order_holds_from_any_node_in_both_directions((nodes, edges) in dags()) {
        let graph = build(nodes, &edges);
        let order = graph.causal_order();
        let place: BTreeMap<_, _> = order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        prop_assert_eq!(place.len(), nodes);
        for &(from, to, _) in &edges {
            prop_assert!(place[&id(from)] < place[&id(to)]);
        }
        let backward: Vec<_> = edges.iter().map(|&(a, b, _)| (b, a)).collect();
        for node in 0..nodes {
            let list = |found: Vec<lineage::Reached>| -> Vec<_> {
                found.iter().map(|r| (r.decision, r.depth)).collect()
            };
            let below = list(graph.descendants(id(node)));
            let above = list(graph.ancestors(id(node)));
            prop_assert_eq!(depths(&below), named(&closure(node, &forward(&edges))));
            prop_assert_eq!(depths(&above), named(&closure(node, &backward)));
        }
    }

    #[test]
    fn c4_blast_radius_equals_a_brute_force_closure((nodes, edges) in dags()) {
        let graph = build(nodes, &edges);
        for origin in 0..nodes {
            check_blast(&graph.blast(id(origin)), &edges, origin);
        }
    }

    #[test]
    fn c4_rings_over_a_store_equal_those_in_memory((nodes, edges) in dags(), origin in 0..40usize) {
        let origin = origin % nodes;
        let graph = build(nodes, &edges);
        let mut asked = BTreeSet::new();
        let blast = rings_over(id(origin), |frontier: &[DecisionId]| {
            for node in frontier {
                assert!(asked.insert(*node), "each decision is asked for once");
            }
            // A store may answer in any order, and with edges nobody asked for.
            let mut found: Vec<Edge> = (0..nodes)
                .flat_map(|n| graph.causes(id(n)).map(|link| link.edge).collect::<Vec<_>>())
                .collect();
            found.reverse();
            Ok::<_, Infallible>(found)
        })
        .unwrap();
        check_blast(&blast, &edges, origin);
    }

    #[test]
    fn c2_path_is_the_chain_with_the_fewest_possible_edges((nodes, edges) in dags()) {
        let graph = build(nodes, &edges);
        for from in 0..nodes {
            // Bellman-Ford over (possible edges, edges).
            let mut cost = BTreeMap::from([(from, (0, 0))]);
            for _ in 0..nodes {
                for &(a, b, certain) in &edges {
                    if let Some(&(p, l)) = cost.get(&a) {
                        let new = (p + usize::from(!certain), l + 1);
                        let old = cost.entry(b).or_insert(new);
                        *old = new.min(*old);
                    }
                }
            }
            for to in 0..nodes {
                let path = graph.path(id(from), id(to));
                let Some(chain) = path else {
                    prop_assert!(!cost.contains_key(&to));
                    continue;
                };
                let mut at = id(from);
                for link in &chain {
                    prop_assert_eq!(link.edge.cause, at);
                    let evidence = graph.causes(link.edge.effect).any(|known| known == *link);
                    prop_assert!(evidence, "each step is an edge of the graph, with its evidence");
                    at = link.edge.effect;
                }
                prop_assert_eq!(at, id(to));
                let possible = chain.iter().filter(|l| l.edge.strength == Strength::Possible);
                prop_assert_eq!((possible.count(), chain.len()), cost[&to]);
            }
        }
    }

    #[test]
    fn refuses_exactly_the_edges_that_close_a_cycle(
        raw in prop::collection::vec((0..12usize, 0..12usize), 0..60),
    ) {
        let mut graph = Graph::new();
        let mut kept: Vec<(usize, usize)> = Vec::new();
        for (from, to) in raw {
            let closes = closure(to, &kept).contains_key(&from);
            match graph.link(id(to), &cause(from, true)) {
                Ok(new) => {
                    prop_assert!(!closes && from != to);
                    prop_assert_eq!(new, !kept.contains(&(from, to)));
                    if new {
                        kept.push((from, to));
                    }
                }
                Err(GraphError::OwnCause { .. }) => prop_assert_eq!(from, to),
                Err(GraphError::Cycle { .. }) => prop_assert!(closes),
                Err(other) => panic!("{other}"),
            }
        }
        prop_assert_eq!(graph.edges(), kept.len());
    }

    #[test]
    fn finds_a_cycle_exactly_where_there_is_one(
        pairs in prop::collection::vec((0..10usize, 0..10usize), 0..25),
    ) {
        let claimed: Vec<_> = pairs.iter().map(|&(e, c)| (id(e), id(c))).collect();
        let forward: Vec<_> = pairs.iter().map(|&(e, c)| (c, e)).collect();
        // A decision lies on a cycle if it is reachable from one of its own effects.
        let any = forward
            .iter()
            .any(|&(c, e)| c == e || closure(e, &forward).contains_key(&c));
        match find_cycle(&claimed) {
            None => prop_assert!(!any),
            Some(cycle) => {
                prop_assert!(any);
                for (i, effect) in cycle.iter().enumerate() {
                    let next = cycle[(i + 1) % cycle.len()];
                    prop_assert!(claimed.contains(&(*effect, next)));
                }
            }
        }
    }
}

#[test]
fn a_long_chain_needs_no_deep_stack() {
    let pairs: Vec<_> = (0..200_000).map(|n| (id(n + 1), id(n))).collect();
    assert_eq!(find_cycle(&pairs), None);
    let mut graph = Graph::new();
    for n in 0..200_000 {
        graph.link(id(n + 1), &cause(n, true)).unwrap();
    }
    assert_eq!(graph.blast(id(0)).certain.len(), 200_000);
    assert_eq!(graph.path(id(0), id(200_000)).unwrap().len(), 200_000);
}

#[test]
fn the_same_edge_again_keeps_the_stronger_evidence() {
    let mut graph = Graph::new();
    assert!(graph.link(id(2), &cause(1, false)).unwrap());
    assert!(!graph.link(id(2), &cause(1, true)).unwrap());
    assert!(!graph.link(id(2), &cause(1, false)).unwrap());
    let links: Vec<_> = graph.dependants(id(1)).collect();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].edge.strength, Strength::Certain);
}

#[test]
fn a_refused_edge_names_both_ends_and_what_to_do() {
    let mut graph = Graph::new();
    graph.link(id(2), &cause(1, true)).unwrap();
    let refused = graph.link(id(1), &cause(2, true)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "`{}` is claimed as a cause of `{}`, on which it depends itself",
            id(2),
            id(1)
        )
    );
    assert!(refused.hint().contains("correct the source"));
}
