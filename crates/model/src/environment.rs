//! The environment of a decision: a snapshot that can be compared with another.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a decision ran with: model, tool versions, limits, resources, flags.
///
/// A flat map from dotted names (`model.name`, `limits.max_tokens`, `tools.refund.digest`) to
/// text, so that two snapshots compare name by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(pub BTreeMap<String, String>);

/// One difference between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The dotted name.
    pub name: String,
    /// The earlier value; absent if the name is new.
    pub before: Option<String>,
    /// The later value; absent if the name is gone.
    pub after: Option<String>,
}

impl Environment {
    /// Returns what differs in `later`, in the order of names.
    #[must_use]
    pub fn diff(&self, later: &Self) -> Vec<Change> {
        let names: BTreeSet<&String> = self.0.keys().chain(later.0.keys()).collect();
        names
            .into_iter()
            .filter(|name| self.0.get(*name) != later.0.get(*name))
            .map(|name| Change {
                name: name.clone(),
                before: self.0.get(name).cloned(),
                after: later.0.get(name).cloned(),
            })
            .collect()
    }
}
