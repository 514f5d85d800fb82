//! What requests ask: query options and bodies, each checked, and a wrong one refused by name.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::misread::misread;
use crate::problem::Problem;

/// The options of a request; unknown ones are refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<T>(pub(crate) T);

impl<T: DeserializeOwned + JsonSchema, S: Send + Sync> FromRequestParts<S> for Options<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        match query {
            Ok(Query(options)) => Ok(Self(options)),
            Err(rejection) => {
                let why = misread::<T>(parts.uri.query().unwrap_or_default());
                let why = why.unwrap_or_else(|| rejection.body_text());
                Err(Problem::bad("bad-option", why)
                    .with_hint("`/api/v1/openapi.json` lists the options of each path"))
            }
        }
    }
}

/// What a request says in its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        match body {
            Ok(Json(said)) => Ok(Self(said)),
            Err(rejection) => Err(Problem::bad("bad-body", rejection.body_text())
                .with_hint("`/api/v1/openapi.json` says what the body of each path holds")),
        }
    }
}

/// The parts of a path that name something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Address<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        match path {
            Ok(Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Problem::bad("bad-path", rejection.body_text())),
        }
    }
}

/// Which part of a list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    /// How many at the most: 1 to 1000. Default: 50.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u64>,
    /// Where to go on: `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// How many to pass over; not together with `cursor`. Default: 0.
    skip: Option<u64>,
}

impl Paging {
    const LIMIT: u64 = 50;
    const LIMIT_MAX: u64 = 1_000;

    pub(crate) fn limit(&self) -> Result<u64, Problem> {
        within(self.limit, Self::LIMIT, Self::LIMIT_MAX)
    }

    pub(crate) fn skip(&self) -> Result<u64, Problem> {
        if self.skip.is_some() && self.cursor.is_some() {
            return Err(Problem::bad(
                "bad-option",
                "`skip` and `cursor` exclude each other",
            ));
        }
        Ok(self.skip.unwrap_or(0))
    }
}

/// Which part of a list that is short as a rule, so that it comes whole where nothing is said.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// How many at the most: 1 to 1000. Default: 1000.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u64>,
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
}

/// What a cursor names: the last row that was shown, in the one or two words that tell it from the
/// others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) String, pub(crate) String);

impl Place {
    /// As text. The length keeps the words apart, whatever is in them.
    fn cursor(&self) -> String {
        let Self(first, second) = self;
        format!("{}.{first}{second}", first.len())
    }

    fn of(cursor: &str) -> Option<Self> {
        let (len, words) = cursor.split_once('.')?;
        let (first, second) = words.split_at_checked(len.parse().ok()?)?;
        Some(Self(first.to_owned(), second.to_owned()))
    }
}

impl Part {
    /// Cuts the rows to the part that was asked for, and returns the cursor of what comes after it.
    ///
    /// `order` is that of the places of two rows in the list. It finds where to go on after a row
    /// that is there no more, such as a call that was decided about meanwhile.
    pub(crate) fn cut<T>(
        &self,
        rows: &mut Vec<T>,
        place: impl Fn(&T) -> Place,
        order: impl Fn(&Place, &Place) -> Ordering,
    ) -> Result<Option<String>, Problem> {
        let limit = within(self.limit, Paging::LIMIT_MAX, Paging::LIMIT_MAX)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(cursor) = &self.cursor {
            let last = Place::of(cursor).ok_or_else(Problem::cursor)?;
            let shown = match rows.iter().position(|row| place(row) == last) {
                Some(at) => at + 1,
                None => rows
                    .iter()
                    .position(|row| order(&last, &place(row)) == Ordering::Less)
                    .unwrap_or(rows.len()),
            };
            rows.drain(..shown);
        }
        if rows.len() <= limit {
            return Ok(None);
        }
        rows.truncate(limit);
        Ok(rows.last().map(|row| place(row).cursor()))
    }
}

/// How much of a graph.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extent {
    /// How many decisions at the most (of a blast radius: in each ring): 1 to 10000.
    /// Default: 1000.
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<u64>,
}

impl Extent {
    const LIMIT: u64 = 1_000;
    const LIMIT_MAX: u64 = 10_000;

    pub(crate) fn limit(self) -> Result<usize, Problem> {
        let limit = within(self.limit, Self::LIMIT, Self::LIMIT_MAX)?;
        Ok(usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// What evidence holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disclosure {
    /// Contents to disclose, with commas between: asked, chosen, reasoning, result, options,
    /// environment, comment, sent, source, or all. Default: none.
    pub(crate) disclose: Option<String>,
    /// Whether to prove the whole chain of causes too. Default: false.
    #[serde(default)]
    pub(crate) chain: bool,
}

/// How much to verify.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thoroughness {
    /// Whether to check every byte. Default: false.
    #[serde(default)]
    pub(crate) full: bool,
}

/// Which events.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Following {
    /// The sequence number to begin with, where no `Last-Event-ID` comes along. Default: what is
    /// new from now on.
    pub(crate) from: Option<u64>,
    /// Only events of this run.
    pub(crate) run: Option<String>,
}

fn within(asked: Option<u64>, default: u64, most: u64) -> Result<u64, Problem> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::bad(
            "bad-option",
            format!("`limit` is {limit}, and can be 1 to {most}"),
        )),
    }
}
