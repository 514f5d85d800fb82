//! Tells the story: a line for each thing that happens, at a pace that can be followed.

use std::io::IsTerminal as _;
use std::time::Duration;

use service_desk::story::{Happened, What};

use crate::failure::Failure;
use crate::out::{Out, Paint, clean, fit, short};

/// How wide the text of an agent is shown.
const WIDTH: usize = 88;

/// How wide the end of an id is shown.
const ID_WIDTH: usize = 10;

/// Who tells.
#[derive(Debug)]
pub(super) struct Teller {
    out: Out,
    paced: bool,
    chapter: u32,
}

impl Teller {
    pub(super) fn new(out: Out) -> Self {
        Self {
            out,
            paced: !out.json() && std::io::stdout().is_terminal(),
            chapter: 0,
        }
    }

    /// Begins a chapter.
    pub(super) async fn chapter(&mut self, title: &str) -> Result<(), Failure> {
        self.chapter += 1;
        self.pause(600).await;
        let title = format!("{}  {title}", self.chapter);
        self.line(&format!("\n{}", self.out.paint(Paint::Bold, title)))
            .await
    }

    /// Says a line.
    pub(super) async fn line(&self, text: &str) -> Result<(), Failure> {
        if !self.out.json() {
            self.out.text(text)?;
            self.pause(120).await;
        }
        Ok(())
    }

    /// Says several lines at once.
    pub(super) async fn block(&self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            self.line(&format!("   {line}")).await?;
        }
        Ok(())
    }

    /// Says what an agent did.
    pub(super) async fn happened(&self, happened: &Happened) -> Result<(), Failure> {
        let who = self.out.paint(Paint::Cyan, fit(happened.agent, 8));
        let id = happened.decision.as_deref().map(short).unwrap_or_default();
        let id = self.out.paint(Paint::Dim, fit(&id, ID_WIDTH));
        let text = match &happened.what {
            What::Asked(_) => return Ok(()),
            What::Called {
                tool,
                arguments,
                result,
            } => {
                let about = about(arguments);
                let mark = match result {
                    Ok(_) => self.out.paint(Paint::Green, "✓"),
                    Err(said) => self.out.paint(Paint::Red, clean(said)),
                };
                let tool = self.out.paint(Paint::Bold, tool);
                format!("{tool} {} {mark}", clean(&about))
            }
            What::Said(text) => format!("“{}”", clean(&fit(text, WIDTH)).trim_end()),
        };
        self.line(&format!("   {id} {who} {text}")).await
    }

    /// Says whether something came out as it should.
    pub(super) async fn check(&self, held: bool, what: &str) -> Result<(), Failure> {
        let mark = if held {
            self.out.paint(Paint::Green, "✓")
        } else {
            self.out.paint(Paint::Red, "✗")
        };
        self.line(&format!("   {mark} {what}")).await
    }

    pub(super) fn paint(&self, paint: Paint, text: impl std::fmt::Display) -> String {
        self.out.paint(paint, text)
    }

    pub(super) fn out(&self) -> &Out {
        &self.out
    }

    async fn pause(&self, millis: u64) {
        if self.paced {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

/// The argument that says what a call is about.
fn about(arguments: &serde_json::Value) -> String {
    ["order_id", "user_id", "email"]
        .iter()
        .find_map(|name| arguments[*name].as_str())
        .unwrap_or_default()
        .to_owned()
}
