//! The decisions of one kind: found by it where few have it, and else a walk over the rows of
//! decisions, which stand in the order of the log.

use ledger::DecisionRow;
use model::{Kind, RunId};
use rusqlite::params;

use super::read::{ROW, Reader, Sql, decision};

/// Kinds that have an index, as the schema says it: SQLite uses it where both are the same words.
const INDEXED: [&str; 4] = ["checkpoint", "incident", "recovery-step", "verdict"];

impl Reader<'_> {
    /// Only rows of the kind leave SQLite; the others cost a look at a column, if that.
    pub(crate) fn decisions_of(&self, kind: Kind, runs: Option<&[RunId]>) -> Sql<Vec<DecisionRow>> {
        let kind = kind.name();
        let Some(runs) = runs else {
            return self
                .0
                .prepare_cached(&of_all_runs(kind))?
                .query_map([kind], decision)?
                .collect();
        };
        self.together(|| {
            let mut spans = self
                .0
                .prepare_cached("SELECT first, last FROM decision_span WHERE run = ?1")?;
            let mut statement = self.0.prepare_cached(&format!(
                "{ROW} WHERE d.first BETWEEN ?1 AND ?2 AND d.kind = ?3"
            ))?;
            let mut found = Vec::new();
            for run in runs {
                let mut spans = spans.query([&run.as_bytes()[..]])?;
                while let Some(span) = spans.next()? {
                    let (first, last): (i64, i64) = (span.get(0)?, span.get(1)?);
                    for row in statement.query_map(params![first, last, kind], decision)? {
                        found.push(row?);
                    }
                }
            }
            found.sort_unstable_by_key(|row| row.first);
            found.dedup_by_key(|row| row.first);
            Ok(found)
        })
    }
}

fn of_all_runs(kind: &str) -> String {
    let indexed = match INDEXED.contains(&kind) {
        true => format!("AND d.kind IN ('{}')", INDEXED.join("', '")),
        false => String::new(),
    };
    format!("{ROW} WHERE d.kind = ?1 {indexed} ORDER BY d.first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_kinds_are_found_without_a_look_at_all_decisions() {
        let index = super::super::in_memory().unwrap();
        let plan = |kind: &str| -> String {
            let sql = format!("EXPLAIN QUERY PLAN {}", of_all_runs(kind));
            index.query_row(&sql, [kind], |row| row.get(3)).unwrap()
        };
        for kind in INDEXED {
            let plan = plan(kind);
            assert!(plan.contains("decision_of_kind (kind=?)"), "{plan}");
        }
        assert!(!plan("inference").contains("decision_of_kind"));
    }
}
