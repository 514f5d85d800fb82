//! The decisions of one kind: a walk over the rows of decisions, which stand in the order of the log.

use ledger::DecisionRow;
use model::{Kind, RunId};
use rusqlite::params;

use super::read::{ROW, Reader, Sql, decision};

impl Reader<'_> {
    /// Only rows of the kind leave SQLite; the others cost a look at a column.
    pub(crate) fn decisions_of(&self, kind: Kind, runs: Option<&[RunId]>) -> Sql<Vec<DecisionRow>> {
        let kind = kind.name();
        let Some(runs) = runs else {
            return self
                .0
                .prepare_cached(&format!("{ROW} WHERE d.kind = ?1 ORDER BY d.first"))?
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
