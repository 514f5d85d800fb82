//! What followed from each decision, by cause: one row for each span of the log.

use model::DecisionId;
use rusqlite::Connection;

use super::rows::Rows;
use super::write::{AT_ONCE, EDGE_LEN, signed};

/// Effects of one cause stand in one row as long as their events lie among so many neighbours in
/// the log: few rows for the usual cause, and none that grows without bound.
pub(super) const EFFECTS_SPAN: u64 = 1_024;

/// Writes edges under their causes. Those of one cause stay in the order of the log, so that its
/// row is the same wherever transactions begin. Of the spans only the first can have rows already.
pub(super) fn write_effects(
    connection: &Connection,
    mut effects: Vec<(DecisionId, u64, [u8; EDGE_LEN])>,
    first: u64,
) -> rusqlite::Result<()> {
    effects.sort_by_key(|(cause, span, _)| (*cause, *span));
    let rows = effects.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
    let (grown, new): (Vec<_>, Vec<_>) = rows.partition(|edges| edges[0].1 == first);
    let mut packed = Vec::new();
    let mut put = |rows: &mut Rows<'_>, edges: &[_]| {
        rows.put(
            edges,
            |edges: &&[(DecisionId, u64, [u8; EDGE_LEN])], values| {
                packed.clear();
                edges
                    .iter()
                    .for_each(|(_, _, edge)| packed.extend_from_slice(edge));
                let (cause, span, _) = &edges[0];
                values.push(&cause.as_bytes()[..])?;
                values.push(signed(*span))?;
                values.push(&packed[..])
            },
        )
    };
    // `||` makes text of whatever it joins.
    let grow =
        "ON CONFLICT (cause, span) DO UPDATE SET edges = CAST(edges || excluded.edges AS BLOB)";
    // One at a time: of several in one statement that may give up halfway, SQLite first keeps a
    // copy of every page that it touches.
    put(
        &mut Rows::prepare(connection, "INSERT INTO effects", 3, 1, grow)?,
        &grown,
    )?;
    put(
        &mut Rows::prepare(connection, "INSERT OR FAIL INTO effects", 3, AT_ONCE, "")?,
        &new,
    )?;
    Ok(())
}
