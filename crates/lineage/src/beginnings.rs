//! Which inference a history was sent for, over all runs: one look a beginning, however many runs
//! there are.
//!
//! It holds what the tables of the runs hold, no more: what a run drops is dropped here, and a
//! run that is forgotten takes its beginnings along.

use std::collections::BTreeSet;

use crate::run::Prefix;
use crate::table::{Map, Table};

/// Hash chains over resent histories, and the inferences that they were sent for.
#[derive(Debug, Default)]
pub(crate) struct Beginnings {
    numbers: Map<Numbers>,
}

/// Most beginnings belong to one run. Those of a prompt that all runs share belong to many.
#[derive(Debug)]
enum Numbers {
    One(u64),
    #[expect(
        clippy::box_collection,
        reason = "few have many, and all pay for its size"
    )]
    Many(Box<BTreeSet<u64>>),
}

impl Beginnings {
    /// Returns the latest inference that a history with this beginning was sent for.
    pub(crate) fn latest(&self, chain: u64) -> Option<u64> {
        match self.numbers.get(&chain)? {
            Numbers::One(number) => Some(*number),
            Numbers::Many(numbers) => numbers.last().copied(),
        }
    }

    /// Looks a beginning up in the table of its run; what that drops is dropped here.
    pub(crate) fn look(&mut self, prefixes: &mut Table<Prefix>, chain: u64) -> Option<Prefix> {
        prefixes.get_telling(chain, |gone, prefix| self.remove(gone, prefix.number))
    }

    /// Enters a beginning here and into the table of its run, over what that run had there.
    pub(crate) fn enter(&mut self, prefixes: &mut Table<Prefix>, chain: u64, prefix: Prefix) {
        if let Some(before) = prefixes.peek(chain) {
            self.remove(chain, before.number);
        }
        prefixes.put_telling(chain, prefix, |gone, prefix| {
            self.remove(gone, prefix.number);
        });
        self.add(chain, prefix.number);
    }

    /// Drops every beginning of a run.
    pub(crate) fn forget(&mut self, prefixes: &Table<Prefix>) {
        for (chain, prefix) in prefixes.iter() {
            self.remove(chain, prefix.number);
        }
    }

    fn add(&mut self, chain: u64, number: u64) {
        self.numbers
            .entry(chain)
            .and_modify(|numbers| match numbers {
                Numbers::One(one) => *numbers = Numbers::Many(Box::new([*one, number].into())),
                Numbers::Many(many) => {
                    many.insert(number);
                }
            })
            .or_insert(Numbers::One(number));
    }

    fn remove(&mut self, chain: u64, number: u64) {
        let empty = match self.numbers.get_mut(&chain) {
            Some(Numbers::One(one)) => *one == number,
            Some(Numbers::Many(many)) => {
                many.remove(&number);
                many.is_empty()
            }
            None => false,
        };
        if empty {
            self.numbers.remove(&chain);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The tables forget early, so that every way of going is taken.
        #[test]
        fn it_says_what_a_loop_over_the_tables_of_all_runs_says(
            steps in prop::collection::vec((0..4_usize, 0..12_u64, 0..5_u8), 0..200)
        ) {
            let mut beginnings = Beginnings::default();
            let mut runs: Vec<Table<Prefix>> = (0..4).map(|_| Table::new(6)).collect();
            for (number, (run, chain, step)) in (0..).zip(steps) {
                // Some inferences are entered anew when their output comes.
                let number = if step == 0 { number / 2 } else { number };
                match step {
                    0..3 => {
                        // Numbers belong to one run.
                        let prefix = Prefix { number: number * 4 + run as u64, answered: step > 1 };
                        beginnings.enter(&mut runs[run], chain, prefix);
                    }
                    3 => {
                        let known = runs[run].peek(chain).map(|prefix| prefix.number);
                        let found = beginnings.look(&mut runs[run], chain);
                        prop_assert_eq!(found.map(|prefix| prefix.number), known);
                    }
                    _ => {
                        beginnings.forget(&runs[run]);
                        runs[run] = Table::new(6);
                    }
                }
                for chain in 0..12 {
                    let numbers = runs.iter().filter_map(|run| run.peek(chain));
                    let latest = numbers.map(|prefix| prefix.number).max();
                    prop_assert_eq!(beginnings.latest(chain), latest);
                }
            }
        }
    }
}
