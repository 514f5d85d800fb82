//! Images: records as they are just before a call and just after it, read over sessions of ours.
//!
//! What the catalogue says of a tool decides what is read. A record that cannot be read has no
//! image, and the call goes on: what cannot be shown to be exact is then not promised to be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::live::{Ended, Open, Touches};
use engine::undo::catalogue::{Image, Images};
use engine::undo::plan::RecordRef;
use model::Resource;
use serde_json::Value;
use wire::mcp::CallResult;

use crate::Inner;

use super::ours::{Failed, value_of};

/// How long a call waits for one image.
const IMAGE_MAX: Duration = Duration::from_secs(5);

/// What a call touches, as far as its arguments tell. None if the catalogue does not name its tool.
pub(super) fn told(
    inner: &Arc<Inner>,
    server: &str,
    tool: &str,
    arguments: &str,
) -> Option<Touches> {
    let catalogue = inner.catalogue()?;
    if !catalogue.knows(server, tool) {
        return None;
    }
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let before = Images::new();
    let footprint = catalogue.footprint(server, tool, &arguments, None, &before);
    Some(Touches {
        server: server.to_owned(),
        tool: tool.to_owned(),
        reads: footprint.reads(),
        writes: footprint.writes(),
        identity: footprint.arguments,
        arguments,
        before,
    })
}

/// Reads what a call is about to touch, just before it goes out.
pub(super) async fn before(inner: &Arc<Inner>, told: Touches) -> Touches {
    let Some(catalogue) = inner.catalogue() else {
        return told;
    };
    let mut versions = HashMap::new();
    let mut reads = catalogue.images(&told.server, &told.tool, &told.arguments);
    while let Some(record) = reads.ask().cloned() {
        if let Some(image) = read(inner, &record).await {
            versions.insert(record.uri, version_of(&image));
            reads.give(image.record);
        }
    }
    let before = reads.finish();
    if before.is_empty() {
        return told;
    }
    let footprint = catalogue.footprint(&told.server, &told.tool, &told.arguments, None, &before);
    Touches {
        reads: versioned(footprint.reads(), &versions),
        writes: versioned(footprint.writes(), &versions),
        before,
        ..told
    }
}

/// Reads what a call wrote, now that its result tells which records it made.
pub(super) async fn after(
    inner: &Arc<Inner>,
    open: &mut Open,
    result: &CallResult<'_>,
    ended: &mut Ended,
) {
    let (Some(catalogue), Some(touches)) = (inner.catalogue(), open.touches()) else {
        return;
    };
    let result = result.value();
    let footprint = catalogue.footprint(
        &touches.server,
        &touches.tool,
        &touches.arguments,
        Some(&result),
        &touches.before,
    );
    let (mut after, mut versions) = (Images::new(), HashMap::new());
    for touch in &footprint.touches {
        let record = &touch.record;
        if touch.writes.is_empty() || after.contains_key(&record.uri) {
            continue;
        }
        if let Some(image) = read(inner, record).await {
            versions.insert(record.uri.clone(), version_of(&image));
            after.insert(record.uri.clone(), image.record);
        }
    }
    let reads = match touches.reads.is_empty() {
        true => footprint.reads(),
        false => touches.reads.clone(),
    };
    let writes = versioned(footprint.writes(), &versions);
    open.touched((reads, writes), result, after, ended);
}

/// Reads one record; none if it cannot be told what it is.
pub(crate) async fn read(inner: &Arc<Inner>, record: &RecordRef) -> Option<Image> {
    let call = &record.read;
    let asked = inner.call_tool(&call.server, &call.tool, &call.arguments, None);
    let answer = tokio::time::timeout(IMAGE_MAX, asked).await;
    let answer = match answer.ok()?.and_then(|result| value_of(&result)) {
        Ok(value) => record.image(Ok(&value)),
        Err(Failed::Refused(said)) => record.image(Err(&said)),
        Err(_) => return failed(),
    };
    answer.ok().or_else(failed)
}

fn failed() -> Option<Image> {
    metrics::counter!("rescind_images_failed_total").increment(1);
    None
}

fn version_of(image: &Image) -> Option<String> {
    image.version.as_ref().map(|version| match version {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

fn versioned(
    resources: Vec<Resource>,
    versions: &HashMap<String, Option<String>>,
) -> Vec<Resource> {
    let with = |resource: Resource| Resource {
        version: versions.get(&resource.uri).cloned().flatten(),
        ..resource
    };
    resources.into_iter().map(with).collect()
}
