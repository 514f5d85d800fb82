//! `rescind demo`: the whole story, with no key and no network.
//!
//! Three agents of a shop's service desk work through tickets. One decision is wrong, and two other
//! agents act on it. It is found, what followed is shown, a plan is made and carried out, and the
//! agents go on with repaired contexts. What the model says is played back; everything else runs
//! as it would for anybody: the service is that of `up`, and the story asks it over its API.

mod stage;
mod story;
mod teller;
mod undo;
mod view;

use service_desk::{Desk, Rights, serve_stdio};
use tokio_util::sync::CancellationToken;

use self::stage::{Stage, of_desk};
use self::story::Story;
use self::teller::Teller;
pub(crate) use self::view::DemoView;
use crate::Answer;
use crate::args::{Demo, Global, ServiceDesk};
use crate::command::up::Signals;
use crate::failure::Failure;
use crate::out::{Out, Paint};

pub(crate) async fn run(out: &Out, global: &Global, args: &Demo) -> Result<Answer, Failure> {
    let stage = Stage::set(out, global, args).await?;
    let address = stage.service.address()?;
    let view = DemoView {
        listening: format!("http://{address}"),
        data_dir: stage.data_dir.display().to_string(),
        config: stage.config.display().to_string(),
        ..DemoView::default()
    };
    let heard = stage.playback.heard();
    let mut story = Story::new(Teller::new(*out), view, stage.database, Box::new(heard))?;
    let done = CancellationToken::new();
    let signals = Signals::listen(done.clone())?;
    let serving = stage.service.serve(out, signals);
    let model = stage.playback.serve();
    tokio::pin!(serving, model);
    tokio::select! {
        told = story.tell() => told?,
        // Somebody had enough before the end.
        ended = &mut serving => return ended.map(|_| Answer::No),
        ended = &mut model => return Err(model_gone(ended)),
    }
    let view = story.into_view();
    if out.json() {
        out.text(&serde_json::to_string(&view)?)?;
    }
    let answer = if view.held { Answer::Yes } else { Answer::No };
    if args.exit {
        if !out.json() {
            out.text(&format!("the record stays in {}\n", view.data_dir))?;
        }
        done.cancel();
    } else {
        around(out, &view)?;
    }
    tokio::select! {
        ended = &mut serving => ended.map(|_| answer),
        ended = &mut model => Err(model_gone(ended)),
    }
}

/// Serves the tools of the demo, as a child of the gateway.
pub(crate) async fn desk(args: &ServiceDesk) -> Result<Answer, Failure> {
    let desk = Desk::open(&args.database).map_err(of_desk)?;
    let rights = Rights {
        operator: args.operator,
        keys: args.operator,
    };
    let served = serve_stdio(desk, rights).await;
    served.map_err(|error| Failure::new(engine::chain(&error)))?;
    Ok(Answer::Yes)
}

fn model_gone(ended: std::io::Result<()>) -> Failure {
    let why = ended.err().map_or("it ended".to_owned(), |e| e.to_string());
    Failure::new(format!("the model that plays back is gone: {why}"))
}

/// What to look at next.
fn around(out: &Out, view: &DemoView) -> Result<(), Failure> {
    if out.json() {
        return Ok(());
    }
    let url = &view.listening;
    out.text(&format!(
        "\n{}\n   rescind runs --url {url}\n   rescind graph {wrong} --url {url}\n   \
         rescind blast {wrong} --url {url}\n   the record stays in {}\n   ctrl-c ends the server\n",
        out.paint(Paint::Bold, "Look around"),
        view.data_dir,
        wrong = crate::out::short(&view.wrong),
    ))?;
    Ok(())
}
