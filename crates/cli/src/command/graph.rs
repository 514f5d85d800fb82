//! `rescind graph`: draw decisions and what they depend on.

use crate::Answer;
use crate::args::{Graph, GraphFormat};
use crate::failure::Failure;
use crate::out::Paint;
use crate::render;
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &Graph) -> Result<Answer, Failure> {
    let out = &session.out;
    let graph = match session.remote() {
        Some(remote) => remote.graph(&args.id, args.limit).await?,
        None => {
            let engine = session.read().await?;
            let of = engine.resolve(&args.id).await?;
            engine.graph(of, args.limit).await?
        }
    };
    if graph.cut {
        let limit = args.limit;
        out.note(&format!("only {limit} decisions are shown; see `--limit`"))?;
    }
    let format = if out.json() {
        GraphFormat::Json
    } else {
        args.format
    };
    match format {
        GraphFormat::Json => out.json_object(&graph)?,
        GraphFormat::Dot => out.text(&render::dot(&graph))?,
        GraphFormat::Svg => out.text(&render::svg(&graph))?,
        GraphFormat::Tree => {
            let certain = graph
                .edges
                .iter()
                .filter(|edge| edge.strength == "certain")
                .count();
            let (nodes, possible) = (graph.nodes.len(), graph.edges.len() - certain);
            let total =
                format!("{nodes} decisions, {certain} certain and {possible} possible causes");
            let tree = render::tree(out, &graph);
            out.text(&format!("{tree}{}", out.paint(Paint::Dim, total)))?;
        }
    }
    Ok(Answer::Yes)
}
