//! A log that is published somewhere else: fetched into a directory that is gone afterwards, and
//! checked there as one that lies on this machine.
//!
//! Nobody is asked whether the log is intact, and no token is sent: what is fetched are the files
//! that C2SP tlog-tiles lays out, from any server that has them.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gateway::Pool;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use ledger::tile::{ENTRY_BYTES_MAX, TILE_WIDTH, tiles_of};
use ledger::{Checkpoint, VerifyingKey};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::out::Out;

/// The longest file: a full bundle of the longest entries, each after its length in two bytes.
const FILE_BYTES_MAX: usize = TILE_WIDTH as usize * (ENTRY_BYTES_MAX + 2);

/// How long one file may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a log that grew meanwhile is fetched anew.
const TRIES_MAX: u32 = 5;

/// Whether an argument is the address of a log, and no path.
pub(super) fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Fetches a log under its newest checkpoint, which one of these keys must have signed: how large
/// the log is must not be anybody's word.
pub(super) async fn fetch(out: &Out, url: &str, keys: &[VerifyingKey]) -> Result<TempDir, Failure> {
    let url = url.trim_end_matches('/');
    if keys.is_empty() {
        return Err(
            Failure::new("a published log alone needs its verifier key").with_hint(
                "give it with `--key`; whoever has the record finds it with `rescind keys`",
            ),
        );
    }
    let client = gateway::plain_client();
    let dir = tempfile::tempdir()
        .map_err(|error| Failure::new(format!("could not make a directory: {error}")))?;
    for _ in 0..TRIES_MAX {
        let Some(checkpoint) = file(&client, &format!("{url}/checkpoint")).await? else {
            return Err(
                Failure::new(format!("there is no log at `{url}`")).with_hint(
                    "a server has it at `/log/REALM`: `http://127.0.0.1:7373/log/default`",
                ),
            );
        };
        put(dir.path(), "checkpoint", &checkpoint)?;
        let (Checkpoint { size, .. }, _) =
            Checkpoint::open(&checkpoint, keys).map_err(|error| {
                Failure::new(format!("could not rely on `{url}/checkpoint`: {error}"))
                    .with_hint("is it the key of this log?")
            })?;
        if all(out, &client, url, size, dir.path()).await? {
            return Ok(dir);
        }
    }
    Err(Failure::new(format!(
        "`{url}` grows faster than it can be fetched"
    )))
}

/// Fetches every file of a log of this size. Returns false if a file at its end is there no more,
/// because a fuller one took its place; what else is missing is for the check to tell.
async fn all(out: &Out, client: &Pool, url: &str, size: u64, dir: &Path) -> Result<bool, Failure> {
    let bar = out.bar();
    if let Some(bar) = &bar {
        bar.set_message("fetching");
        bar.set_length(tiles_of(size).count() as u64);
    }
    for tile in tiles_of(size) {
        let path = tile.path();
        match file(client, &format!("{url}/{path}")).await? {
            Some(bytes) => put(dir, &path, &bytes)?,
            None if !tile.is_full() => {
                let fuller = format!("{url}/{}", tile.full().path());
                if file(client, &fuller).await?.is_some() {
                    return Ok(false);
                }
            }
            None => {}
        }
        if let Some(bar) = &bar {
            bar.inc(1);
        }
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(true)
}

fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = dir.join(name);
    let above = path.parent().unwrap_or(dir);
    std::fs::create_dir_all(above).map_err(|error| Failure::file("create", above, &error))?;
    std::fs::write(&path, bytes).map_err(|error| Failure::file("write", &path, &error))
}

/// Fetches one file; none where there is none.
async fn file(client: &Pool, url: &str) -> Result<Option<Bytes>, Failure> {
    let wrong = |why: String| Failure::new(format!("could not fetch `{url}`: {why}"));
    let uri: Uri = url.parse().map_err(|_| wrong("it is no URL".to_owned()))?;
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = uri;
    let asking = async {
        let response = client.request(request).await;
        let response = response.map_err(|error| wrong(gateway::root(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(wrong(format!("it answered with status {status}"))),
        }
        let body = Limited::new(response.into_body(), FILE_BYTES_MAX);
        let body = body
            .collect()
            .await
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Some(body.to_bytes()))
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.map_err(|_| wrong("it did not answer in time".to_owned()))?
}
