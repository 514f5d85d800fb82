//! Going through a history: what is replaced, and what is remembered on the way.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use wire::llm::Layout;
use wire::llm::raw::{Fields, Raw, elements, list, quoted, string};

use crate::edit::{Cut, Edit, Replaced};
use crate::marks::{Audience, Found, Marks};

/// Arguments in the place of those of a rescinded call.
pub(crate) const ARGUMENTS: &str = r#"{"rescinded":true}"#;

/// Whose text is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    System,
    User,
    Assistant,
    Tool,
}

/// Where in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Item(usize),
    Field(&'static str),
}

/// A call in the history whose result is rescinded.
#[derive(Clone, Copy, Debug)]
struct Awaited<'m> {
    marks: &'m Marks,
    mark: usize,
    /// What the result must hold.
    result: Option<&'m str>,
}

/// A way through one history.
#[derive(Debug)]
pub(crate) struct Walk<'a, 'm> {
    pub(crate) layout: &'m Layout<'a>,
    sets: &'m [&'m Marks],
    pub(crate) edits: Vec<Edit>,
    pub(crate) replaced: Vec<Replaced>,
    awaited: FxHashMap<Cow<'a, str>, Awaited<'m>>,
    /// How many of them have no result yet.
    open: usize,
}

impl<'a, 'm> Walk<'a, 'm> {
    pub(crate) fn new(layout: &'m Layout<'a>, sets: &'m [&'m Marks]) -> Self {
        Self {
            layout,
            sets,
            edits: Vec::new(),
            replaced: Vec::new(),
            awaited: FxHashMap::default(),
            open: 0,
        }
    }

    /// The marks of the history's own run.
    pub(crate) fn own(&self) -> Option<&'m Marks> {
        let own = |marks: &&&Marks| marks.audience == Audience::SameRun;
        self.sets.iter().find(own).copied()
    }

    /// Whether calls have to be looked at.
    pub(crate) fn knows_calls(&self) -> bool {
        self.own().is_some_and(Marks::knows_calls)
    }

    /// Whether nothing that is looked for stands in an item of the history.
    pub(crate) fn passes(&self, item: &Fields<'a>, voice: Voice) -> bool {
        let model = voice == Voice::Assistant;
        self.open == 0
            && self.sets.iter().all(|marks| {
                !hears(marks, voice) || item.pairs().all(|(_, raw)| !marks.may_be_in(raw, model))
            })
    }

    /// Replaces passages in a content around the history.
    pub(crate) fn around(&mut self, key: &'static str, voice: Voice) {
        let Some(raw) = self.layout.fields().get(key) else {
            return;
        };
        if self
            .sets
            .iter()
            .any(|marks| hears(marks, voice) && marks.may_be_in(raw, false))
        {
            self.content(At::Field(key), voice, Some(raw));
        }
    }

    /// Puts another value in the place of one.
    pub(crate) fn put(&mut self, raw: Raw<'a>, by: String) -> bool {
        if raw == by {
            return false;
        }
        let place = self.layout.place(raw);
        self.edits.push(Edit { place, by });
        true
    }

    /// Notes what was taken out.
    pub(crate) fn note(&mut self, at: At, marks: &Marks, mark: usize, what: Cut, by: &str) {
        let at = match at {
            At::Item(number) => format!("/{}/{number}", self.layout.key()),
            At::Field(key) => format!("/{key}"),
        };
        self.replaced.push(Replaced {
            at,
            decision: marks.decision(mark),
            what,
            by: by.to_owned(),
        });
    }

    /// Looks a call up that a message asks for, and waits for its result.
    pub(crate) fn called(
        &mut self,
        id: Option<Cow<'a, str>>,
        name: &str,
        arguments: &str,
    ) -> Option<Found<'m>> {
        let marks = self.own()?;
        let id = id?;
        let found = marks.called(&id, name, arguments);
        match found {
            Some(Found { mark, result, .. }) => {
                self.open += 1;
                self.awaited.insert(
                    id,
                    Awaited {
                        marks,
                        mark,
                        result,
                    },
                );
            }
            // Ids may come again; the last call counts.
            None if !self.awaited.is_empty() => {
                self.awaited.remove(&id);
            }
            None => {}
        }
        found
    }

    /// Replaces what a call came to, if it is rescinded; `form` writes the value anew around the
    /// correction.
    pub(crate) fn result(
        &mut self,
        at: At,
        id: Option<&str>,
        raw: Option<Raw<'a>>,
        form: impl FnOnce(&str) -> String,
    ) -> bool {
        let (Some(id), Some(raw)) = (id, raw) else {
            return false;
        };
        let Some(&Awaited {
            marks,
            mark,
            result,
        }) = self.awaited.get(id)
        else {
            return false;
        };
        if let Some(result) = result
            && !text_of(raw).contains(result)
        {
            self.open = self.open.saturating_sub(1);
            return false;
        }
        self.open = self.open.saturating_sub(1);
        let by = marks.result_of(mark);
        // A second repair finds the correction here already.
        if text_of(raw).trim() != by && self.put(raw, form(by)) {
            self.note(at, marks, mark, Cut::Result, by);
        }
        true
    }

    /// Replaces passages in a content: text, or parts with texts.
    pub(crate) fn content(&mut self, at: At, voice: Voice, raw: Option<Raw<'a>>) {
        let Some(raw) = raw else { return };
        match raw.as_bytes().first() {
            Some(b'"') => self.text(at, voice, raw),
            Some(b'[') => {
                for part in elements(raw) {
                    match part {
                        Ok(part) => self.part(at, voice, &part),
                        Err(text) => self.text(at, voice, text),
                    }
                }
            }
            _ => {}
        }
    }

    /// Replaces passages in a part of a content.
    pub(crate) fn part(&mut self, at: At, voice: Voice, part: &Fields<'a>) {
        if let Some(text) = part.get("text") {
            self.text(at, voice, text);
        }
        self.content(at, voice, part.get("content"));
        if let Some(source) = part.object("source") {
            if source.text("type").as_deref() == Some("text")
                && let Some(data) = source.get("data")
            {
                self.text(at, voice, data);
            }
            self.content(at, voice, source.get("content"));
        }
    }

    /// Replaces passages in a text.
    pub(crate) fn text(&mut self, at: At, voice: Voice, raw: Raw<'a>) {
        let Some(text) = string(raw) else { return };
        let sets = self.sets;
        let mut new: Option<String> = None;
        let mut cuts: Vec<(&Marks, usize)> = Vec::new();
        for marks in sets {
            if !hears(marks, voice) {
                continue;
            }
            let text = new.as_deref().unwrap_or(&text);
            if let Some(done) = without_passages(marks, voice, text, &mut cuts) {
                new = Some(done);
            }
        }
        let Some(new) = new else { return };
        if self.put(raw, quoted(&new)) {
            for (marks, mark) in cuts {
                self.note(at, marks, mark, Cut::Passage, marks.passage_of(mark));
            }
        }
    }
}

/// Whether marks are looked for in somebody's texts.
pub(crate) fn hears(marks: &Marks, voice: Voice) -> bool {
    marks.audience == Audience::SameRun || matches!(voice, Voice::User | Voice::Tool)
}

/// What a tool says again is news, and instructions share sentences with what follows them.
const fn fits(passage: &crate::passages::Passage, voice: Voice) -> bool {
    !(passage.of_tool && matches!(voice, Voice::Tool)
        || passage.part && matches!(voice, Voice::System))
}

/// The text with corrections in the place of passages; none if it has none. Passages of one
/// decision that follow each other get one correction.
fn without_passages<'m>(
    marks: &'m Marks,
    voice: Voice,
    text: &str,
    cuts: &mut Vec<(&'m Marks, usize)>,
) -> Option<String> {
    let mut out = String::new();
    let mut from = 0;
    let mut last: Option<usize> = None;
    while let Some((place, passage)) = marks
        .passages()
        .find(text, from, |passage| fits(passage, voice))
    {
        let between = &text[from..place.start];
        let goes_on = last == Some(passage.mark) && between.trim().is_empty();
        if !goes_on {
            out.push_str(between);
            out.push_str(marks.passage_of(passage.mark));
            cuts.push((marks, passage.mark));
        }
        last = Some(passage.mark);
        from = place.end;
    }
    last?;
    out.push_str(&text[from..]);
    Some(out)
}

/// The text of a content: itself, or those of its parts, each on a line.
pub(crate) fn text_of(raw: Raw<'_>) -> Cow<'_, str> {
    match raw.as_bytes().first() {
        Some(b'"') => string(raw).unwrap_or_default(),
        Some(b'[') => {
            let mut all = String::new();
            for part in elements(raw) {
                let text = match &part {
                    Ok(part) => match part.get("content") {
                        Some(content) => Some(text_of(content)),
                        None => part.text("text"),
                    },
                    Err(raw) => string(raw),
                };
                let Some(text) = text.filter(|text| !text.is_empty()) else {
                    continue;
                };
                if !all.is_empty() {
                    all.push('\n');
                }
                all.push_str(&text);
            }
            Cow::Owned(all)
        }
        _ => Cow::Borrowed(""),
    }
}

/// The last cache marker among the parts of a content, as it stands there.
pub(crate) fn cache_marker(raw: Raw<'_>) -> Option<Raw<'_>> {
    let parts = list(raw)?;
    parts
        .into_iter()
        .rev()
        .find_map(|part| Fields::of(part)?.get("cache_control"))
}

/// A text part with a correction, and the cache marker that stood on what it replaces.
pub(crate) fn text_part(kind: &str, text: &str, marker: Option<&str>) -> String {
    let text = quoted(text);
    match marker {
        Some(marker) => format!(r#"{{"type":"{kind}","text":{text},"cache_control":{marker}}}"#),
        None => format!(r#"{{"type":"{kind}","text":{text}}}"#),
    }
}
