//! An agent: a history, a model to ask, and tools to call.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::http::{Answer, Http};
use super::script::Role;

/// How often the model is asked in one turn at the most.
const ROUNDS_MAX: usize = 8;

/// The header that tells which decision a call was recorded as.
const DECISION: &str = "x-rescind-decision";

/// Why the story broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoryError {
    /// A call did not come back.
    #[error("could not call `{url}`")]
    Call {
        /// Where it went.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A call was refused.
    #[error("`{url}` answered with status {status}: {said}")]
    Refused {
        /// Where it went.
        url: String,
        /// The status.
        status: u16,
        /// What was said.
        said: String,
    },
    /// An answer is not what the wire allows.
    #[error("`{url}` gave an answer without {what}")]
    Form {
        /// Where it came from.
        url: String,
        /// What is missing.
        what: &'static str,
    },
    /// The model never came to an end.
    #[error("the model asked for tools {ROUNDS_MAX} times in a row")]
    Endless,
}

/// Something that an agent did.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// The agent.
    pub agent: &'static str,
    /// The decision that it was recorded as, if it went through a recorder.
    pub decision: Option<String>,
    /// What it did.
    pub what: What,
}

/// What an agent did.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Its model asked for tools, by name.
    Asked(Vec<String>),
    /// It called a tool.
    Called {
        /// The tool.
        tool: String,
        /// The arguments.
        arguments: Value,
        /// What the tool said, or its refusal.
        result: Result<String, String>,
    },
    /// Its model said something, and the turn was over.
    Said(String),
}

/// An agent at work.
#[derive(Debug)]
pub struct Agent {
    role: &'static Role,
    chat_url: String,
    mcp_url: String,
    http: Http,
    session: Option<String>,
    tools: Vec<Value>,
    /// Histories by what they are about.
    histories: BTreeMap<String, Vec<Value>>,
    last_id: u64,
}

impl Agent {
    /// Starts an agent with the base URL of its models, as the SDKs of OpenAI take it, and the URL
    /// of its tools.
    ///
    /// # Errors
    ///
    /// The tool server does not answer.
    pub async fn start(role: &'static Role, models: &str, tools: &str) -> Result<Self, StoryError> {
        let mut agent = Self {
            role,
            chat_url: format!("{models}/chat/completions"),
            mcp_url: tools.to_owned(),
            http: Http::new(),
            session: None,
            tools: Vec::new(),
            histories: BTreeMap::new(),
            last_id: 0,
        };
        let asked = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": role.name, "version": "1"},
        });
        let begun = agent.rpc("initialize", asked).await?;
        let session = begun.headers.get("mcp-session-id");
        agent.session = session.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        agent.post_mcp(&ready).await?;
        let listed = agent.rpc("tools/list", json!({})).await?;
        let listed = listed.body["result"]["tools"].as_array();
        let listed = listed.ok_or_else(|| agent.malformed(&agent.mcp_url, "tools"))?;
        let has = |tool: &&Value| role.tools.iter().any(|name| tool["name"] == *name);
        agent.tools = listed.iter().filter(has).map(as_function).collect();
        Ok(agent)
    }

    /// Returns the agent's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.role.name
    }

    /// Tells the agent something about a matter, and returns what it says in the end. What it does
    /// on the way goes to `watch`.
    ///
    /// # Errors
    ///
    /// A call failed, or the model never came to an end.
    pub async fn hear(
        &mut self,
        matter: &str,
        text: &str,
        watch: &mut impl FnMut(Happened),
    ) -> Result<String, StoryError> {
        let system = json!({"role": "system", "content": self.role.prompt});
        let history = self.histories.remove(matter);
        let mut history = history.unwrap_or_else(|| vec![system]);
        history.push(json!({"role": "user", "content": text}));
        let said = self.turn(&mut history, watch).await;
        self.histories.insert(matter.to_owned(), history);
        said
    }

    async fn turn(
        &mut self,
        history: &mut Vec<Value>,
        watch: &mut impl FnMut(Happened),
    ) -> Result<String, StoryError> {
        let agent = self.role.name;
        for _ in 0..ROUNDS_MAX {
            let request = json!({
                "model": "playback-1",
                "messages": history,
                "tools": self.tools,
            });
            let answer = self.http.post(&self.chat_url, &[], &request).await?;
            let decision = decision(&answer);
            let message = &answer.body["choices"][0]["message"];
            history.push(message.clone());
            let Some(calls) = message["tool_calls"].as_array() else {
                let said = message["content"].as_str();
                let said = said.ok_or_else(|| self.malformed(&self.chat_url, "a message"))?;
                watch(Happened {
                    agent,
                    decision,
                    what: What::Said(said.to_owned()),
                });
                return Ok(said.to_owned());
            };
            let name = |call: &Value| call["function"]["name"].as_str().map(str::to_owned);
            watch(Happened {
                agent,
                decision,
                what: What::Asked(calls.iter().filter_map(name).collect()),
            });
            for call in calls {
                let (happened, said) = self.call(call).await?;
                watch(happened);
                history.push(json!({
                    "role": "tool", "tool_call_id": call["id"], "content": said,
                }));
            }
        }
        Err(StoryError::Endless)
    }

    /// Makes a call that the model asked for.
    async fn call(&mut self, call: &Value) -> Result<(Happened, String), StoryError> {
        let tool = call["function"]["name"].as_str();
        let tool = tool.ok_or_else(|| self.malformed(&self.chat_url, "a tool's name"))?;
        let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
        let arguments: Value =
            serde_json::from_str(arguments).map_err(|source| StoryError::Call {
                url: self.chat_url.clone(),
                source: source.into(),
            })?;
        let asked = json!({"name": tool, "arguments": arguments});
        let answer = self.rpc("tools/call", asked).await?;
        let result = &answer.body["result"];
        // A call that the gateway or the server refuses is told to the model, as agents do.
        let said = match result["content"][0]["text"].as_str() {
            Some(said) => said.to_owned(),
            None => format!("Error: {}", answer.body["error"]["message"]),
        };
        let failed = result["isError"] == true || answer.body.get("error").is_some();
        let happened = Happened {
            agent: self.role.name,
            decision: decision(&answer),
            what: What::Called {
                tool: tool.to_owned(),
                arguments,
                result: if failed {
                    Err(said.clone())
                } else {
                    Ok(said.clone())
                },
            },
        };
        Ok((happened, said))
    }

    async fn rpc(&mut self, method: &str, params: Value) -> Result<Answer, StoryError> {
        self.last_id += 1;
        let id = self.last_id;
        let asked = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.post_mcp(&asked).await
    }

    async fn post_mcp(&self, message: &Value) -> Result<Answer, StoryError> {
        let mut headers = Vec::new();
        if let Some(session) = &self.session {
            headers.push(("mcp-session-id", session.clone()));
            headers.push(("mcp-protocol-version", "2025-06-18".to_owned()));
        }
        self.http.post(&self.mcp_url, &headers, message).await
    }

    fn malformed(&self, url: &str, what: &'static str) -> StoryError {
        StoryError::Form {
            url: url.to_owned(),
            what,
        }
    }
}

/// A tool as models are offered it.
fn as_function(tool: &Value) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": tool["name"],
            "description": tool["description"],
            "parameters": tool["inputSchema"],
        },
    })
}

fn decision(answer: &Answer) -> Option<String> {
    let id = answer.headers.get(DECISION)?.to_str().ok()?;
    Some(id.to_owned())
}
