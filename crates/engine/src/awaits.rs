//! Agents that a state awaits: they remember what was rescinded, and have not gone back since.
//!
//! Nothing is handed to an agent that does not ask, since only it can take a state up. So whoever
//! looks at its states, or saves one, is told that there is one to ask for.

use std::collections::BTreeMap;

use ledger::DecisionRow;
use model::{DecisionId, RunId};

use crate::checkpoints::{is_restore, restored_to};
use crate::look::fold;
use crate::view::AwaitsView;
use crate::{Engine, EngineError};

impl Engine {
    /// Returns the agents that have to go back, of those that saved these states. `line` is the
    /// recovery line of the states.
    pub(crate) async fn awaits(
        &self,
        run: RunId,
        saved: &[DecisionRow],
        line: &BTreeMap<String, Option<DecisionId>>,
    ) -> Result<Vec<AwaitsView>, EngineError> {
        let newest: BTreeMap<&str, DecisionId> = saved
            .iter()
            .map(|row| (row.keys.agent.name.as_str(), row.id))
            .collect();
        let mut awaits = Vec::new();
        for agent in newest.into_keys() {
            let line = line.get(agent).copied().flatten();
            if self.remembers(run, agent, line).await? {
                awaits.push(AwaitsView {
                    agent: agent.to_owned(),
                    checkpoint: line.map(|id| id.to_string()),
                    ask: format!("POST /api/v1/runs/{run}/restore"),
                });
            }
        }
        Ok(awaits)
    }

    /// Whether an agent goes on from another state than that of the line, or took something since
    /// that was rescinded.
    async fn remembers(
        &self,
        run: RunId,
        agent: &str,
        line: Option<DecisionId>,
    ) -> Result<bool, EngineError> {
        let (mut since, _) = self.since_saved(run, agent).await?;
        // The last of them is what the others go on from: a state, or a restore.
        let Some(from) = since.pop() else {
            return Ok(false);
        };
        let rows = self.store.rows(&since).await?;
        if rows.iter().any(|row| row.status.is_rescinded()) {
            return Ok(true);
        }
        let Some(row) = self.store.rows(&[from]).await?.pop() else {
            return Ok(false);
        };
        if !is_restore(&row) {
            return Ok(line != Some(from));
        }
        let events = self.events_of(from).await?;
        let restore = fold(from, events.iter().map(|(_, event)| event))?;
        Ok(restored_to(&restore) != line)
    }
}
