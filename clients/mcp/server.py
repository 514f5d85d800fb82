"""An MCP server with what the conformance suite asks for by name.

Usage: server.py http|stdio. Over HTTP it prints its port and serves `/mcp` there.
"""

import asyncio

from fixture import add_prompts, add_resources, add_tools, serve, words
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts.base import UserMessage
from mcp.types import SamplingMessage
from pydantic import BaseModel, Field

server = FastMCP("rescind-fixture")


def tool(about):
    return server.tool(description=f"Tests: {about}")


add_tools(tool, Context)
add_resources(server)
add_prompts(server, UserMessage)


@tool("tool with logging")
async def test_tool_with_logging(ctx: Context) -> str:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(said)
        await asyncio.sleep(0.05)
    return "logged"


@tool("error handling")
def test_error_handling() -> str:
    raise ValueError("This tool intentionally returns an error for testing")


@tool("sampling")
async def test_sampling(prompt: str, ctx: Context) -> str:
    message = SamplingMessage(role="user", content=words(prompt))
    result = await ctx.session.create_message(messages=[message], max_tokens=100)
    return f"LLM response: {result.content.text}"


class Answer(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@tool("elicitation")
async def test_elicitation(message: str, ctx: Context) -> str:
    result = await ctx.elicit(message=message, schema=Answer)
    return f"User response: action={result.action}"


NAME = {"type": "string", "default": "John Doe"}
DEFAULTS = {
    "name": NAME,
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
OPTIONS = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{n}", "title": f"{name} Option"} for n, name in enumerate(("First", "Second", "Third"), 1)]
ENUMS = {
    "untitledSingle": {"type": "string", "enum": OPTIONS},
    "titledSingle": {"type": "string", "oneOf": TITLED},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
    "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
}


async def ask(ctx, properties):
    schema = {"type": "object", "properties": properties, "required": []}
    result = await ctx.session.elicit("Please answer", schema, related_request_id=ctx.request_id)
    return f"Elicitation completed: action={result.action}, content={result.content}"


@tool("defaults of forms")
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    return await ask(ctx, DEFAULTS)


@tool("enumerations of forms")
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    return await ask(ctx, ENUMS)


@server._mcp_server.subscribe_resource()
async def subscribe(uri):
    pass


@server._mcp_server.unsubscribe_resource()
async def unsubscribe(uri):
    pass


@server._mcp_server.set_logging_level()
async def level(_):
    pass


def app(hosts, origins):
    security = server.settings.transport_security
    security.allowed_hosts, security.allowed_origins = hosts, origins
    return server.streamable_http_app()


serve(server, app)
