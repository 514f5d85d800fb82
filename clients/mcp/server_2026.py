"""An MCP server with what the conformance suite asks for by name, for revision 2026-07-28.

Usage: server_2026.py http|stdio. Over HTTP it prints its port and serves `/mcp` there.
"""

from typing import Any

from fixture import add_prompts, add_resources, add_tools, serve, words
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
)

server = MCPServer("rescind-fixture", version="1", log_level="CRITICAL")


def tool(about):
    return server.tool(description=f"Tests: {about}", structured_output=False)


add_tools(tool, Context)
add_resources(server)
add_prompts(server, UserMessage)


@tool("tool with logging")
async def test_logging_tool(ctx: Context) -> str:
    await ctx.info("Tool execution started")
    return "logged"


@tool("error handling")
def test_error_handling() -> str:
    raise ToolError("This tool intentionally returns an error for testing")


@tool("a change of the tools")
async def test_trigger_tool_change(ctx: Context) -> str:
    await ctx.notify_tools_changed()
    return "changed"


@tool("a change of the prompts")
async def test_trigger_prompt_change(ctx: Context) -> str:
    await ctx.notify_prompts_changed()
    return "changed"


@tool("a capability that the client lacks")
def test_missing_capability(ctx: Context) -> str:
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        lacks = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(-32021, "Missing required client capability", lacks)
    return "it has it"


# What a server wants to know before it answers.


def form(message, name, kind="string"):
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(text, tokens):
    asked = SamplingMessage(role="user", content=words(text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=tokens))


def wants(requests, state=None):
    return InputRequiredResult(input_requests=requests, request_state=state)


def answers(ctx, *keys):
    """What the client brought, if it is all that was asked for."""
    brought = ctx.input_responses or {}
    return brought if all(key in brought for key in keys) else None


def filled(answer, name, kind=str):
    content = getattr(answer, "content", None) or {}
    return isinstance(content, dict) and isinstance(content.get(name), kind)


@tool("one question")
def test_input_required_result_elicitation(ctx: Context) -> Any:
    brought = answers(ctx, "user_name")
    if not brought or not filled(brought["user_name"], "name"):
        return wants({"user_name": form("What is your name?", "name")})
    return f"Hello, {brought['user_name'].content['name']}!"


@tool("one question to a model")
def test_input_required_result_sampling(ctx: Context) -> Any:
    brought = answers(ctx, "capital_question")
    if not brought:
        return wants({"capital_question": sample("What is the capital of France?", 100)})
    return brought["capital_question"].content.text


@tool("the roots of the client")
def test_input_required_result_list_roots(ctx: Context) -> Any:
    brought = answers(ctx, "client_roots")
    if not brought:
        return wants({"client_roots": ListRootsRequest()})
    return ", ".join(str(root.uri) for root in brought["client_roots"].roots)


@tool("a state that comes back")
def test_input_required_result_request_state(ctx: Context) -> Any:
    if not answers(ctx, "confirm") or ctx.request_state != "asked":
        return wants({"confirm": form("Please confirm", "ok", "boolean")}, "asked")
    return "state-ok"


@tool("a state that was changed")
def test_input_required_result_tampered_state(ctx: Context) -> Any:
    return test_input_required_result_request_state(ctx)


@tool("several questions")
def test_input_required_result_multiple_inputs(ctx: Context) -> Any:
    if not answers(ctx, "user_name", "greeting", "client_roots"):
        return wants({"user_name": form("What is your name?", "name"),
                      "greeting": sample("Generate a greeting", 50),
                      "client_roots": ListRootsRequest()}, "asked")
    return "all is known"


@tool("several rounds")
def test_input_required_result_multi_round(ctx: Context) -> Any:
    if ctx.request_state == "second" and answers(ctx, "step2"):
        return "both are known"
    if ctx.request_state == "first" and answers(ctx, "step1"):
        return wants({"step2": form("Step 2: What is your favorite color?", "color")}, "second")
    return wants({"step1": form("Step 1: What is your name?", "name")}, "first")


@tool("questions that the client can answer")
def test_input_required_result_capabilities(ctx: Context) -> Any:
    can = ctx.client_capabilities
    requests = {}
    if can and can.sampling:
        requests["capital_question"] = sample("What is the capital of France?", 100)
    if can and can.elicitation:
        requests["user_name"] = form("What is your name?", "name")
    return wants(requests) if requests and not ctx.input_responses else "nothing to ask"


@tool("a question on a stream")
async def test_streaming_elicitation(ctx: Context) -> Any:
    await ctx.report_progress(1, 2)
    return test_input_required_result_elicitation(ctx)


@server.prompt(description="Tests: a prompt that asks first")
def test_input_required_result_prompt(ctx: Context) -> Any:
    brought = answers(ctx, "user_context")
    if not brought:
        return wants({"user_context": form("What context should the prompt use?", "context")})
    return f"Context: {brought['user_context'].content['context']}"


def app(hosts, origins):
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)
    return server.streamable_http_app(transport_security=security)


serve(server, app)
