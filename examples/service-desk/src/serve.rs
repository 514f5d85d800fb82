//! The desk as an MCP server on standard input and output.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    InitializeResult, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};
use rmcp::{ErrorData, model};
use serde_json::{Map, Value};

use crate::desk::{Answer, Desk, Rights};
use crate::error::DeskError;
use crate::tools::{Deed, Tool};

/// Why serving ended other than by the client's leaving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The session did not begin.
    #[error("could not begin an MCP session")]
    Begin(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The session's task was lost.
    #[error("lost the MCP session")]
    Lost(#[source] tokio::task::JoinError),
}

/// Serves one client over standard input and output until it leaves.
///
/// # Errors
///
/// The client does not speak MCP, or the session broke down.
pub async fn serve_stdio(desk: Desk, rights: Rights) -> Result<(), ServeError> {
    let server = Server {
        desk: Arc::new(Mutex::new(desk)),
        rights,
    };
    let session = server
        .serve(rmcp::transport::stdio())
        .await
        .map_err(|error| ServeError::Begin(error.into()))?;
    session.waiting().await.map_err(ServeError::Lost)?;
    Ok(())
}

#[derive(Clone, Debug)]
struct Server {
    desk: Arc<Mutex<Desk>>,
    rights: Rights,
}

impl Server {
    /// Asks the desk on a thread that may wait for the disk.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Desk) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, ErrorData> {
        let desk = Arc::clone(&self.desk);
        let asked = tokio::task::spawn_blocking(move || {
            // A call that panicked left no transaction behind: it was rolled back with its guard.
            ask(&mut desk.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match asked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(internal(&error)),
            Err(error) => Err(internal(&error)),
        }
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> InitializeResult {
        InitializeResult::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(
                "service-desk",
                env!("CARGO_PKG_VERSION"),
            ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let rights = self.rights;
        let tools = self.ask(move |desk| desk.tools(rights)).await?;
        let shown = tools.into_iter().map(|tool| described(tool, rights));
        Ok(ListToolsResult::with_all_items(shown.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let rights = self.rights;
        let arguments = request.arguments.unwrap_or_default();
        let answer = self
            .ask(move |desk| desk.perform(&request.name, &arguments, rights))
            .await?;
        Ok(told(answer).into())
    }
}

fn told(answer: Answer) -> CallToolResult {
    match answer.said {
        Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
        Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]),
    }
}

fn described(tool: &Tool, rights: Rights) -> model::Tool {
    let schema: Map<String, Value> = tool.schema(rights);
    let reads = tool.deed == Deed::Read;
    let annotations = ToolAnnotations::new().read_only(reads).open_world(false);
    model::Tool::new(tool.name, tool.about, schema).with_annotations(annotations)
}

fn internal(error: &dyn std::error::Error) -> ErrorData {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    ErrorData::internal_error(text, None)
}
