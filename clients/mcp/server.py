"""An MCP server with what the conformance suite asks for by name.

Usage: server.py http|stdio. Over HTTP it prints its port and serves `/mcp` there.
"""

import asyncio
import base64
import socket
import sys

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts.base import UserMessage
from mcp.types import (
    AudioContent,
    Completion,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SOUND = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0\x80>\0\0\x02\0\x10\0data\0\0\0\0")
server = FastMCP("rescind-fixture")
image = ImageContent(type="image", data=PIXEL, mimeType="image/png")


def words(text):
    return TextContent(type="text", text=text)


def embedded(uri, text="This is an embedded resource content."):
    resource = TextResourceContents(uri=uri, mimeType="text/plain", text=text)
    return EmbeddedResource(type="resource", resource=resource)


@server.tool(description="Tests: simple text")
def test_simple_text() -> list[TextContent]:
    return [words("This is a simple text response for testing.")]


@server.tool(description="Tests: image content")
def test_image_content() -> list[ImageContent]:
    return [image]


@server.tool(description="Tests: audio content")
def test_audio_content() -> list[AudioContent]:
    return [AudioContent(type="audio", data=SOUND.decode(), mimeType="audio/wav")]


@server.tool(description="Tests: embedded resource")
def test_embedded_resource() -> list[EmbeddedResource]:
    return [embedded("test://embedded-resource")]


@server.tool(description="Tests: multiple content types")
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    return [words("Multiple content types test:"), image, embedded("test://mixed-content-resource", "{}")]


@server.tool(description="Tests: tool with logging")
async def test_tool_with_logging(ctx: Context) -> str:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(said)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool(description="Tests: tool with progress")
async def test_tool_with_progress(ctx: Context) -> str:
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return "done"


@server.tool(description="Tests: error handling")
def test_error_handling() -> str:
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool(description="Tests: sampling")
async def test_sampling(prompt: str, ctx: Context) -> str:
    message = SamplingMessage(role="user", content=words(prompt))
    result = await ctx.session.create_message(messages=[message], max_tokens=100)
    return f"LLM response: {result.content.text}"


class Answer(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@server.tool(description="Tests: elicitation")
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


@server.tool(description="Tests: defaults of forms")
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    return await ask(ctx, DEFAULTS)


@server.tool(description="Tests: enumerations of forms")
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    return await ask(ctx, ENUMS)


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    return "Watched resource content"


@server._mcp_server.subscribe_resource()
async def subscribe(uri):
    pass


@server._mcp_server.unsubscribe_resource()
async def unsubscribe(uri):
    pass


@server._mcp_server.set_logging_level()
async def level(_):
    pass


@server.prompt(description="Tests: simple prompt")
def test_simple_prompt() -> str:
    return "This is a simple prompt for testing."


@server.prompt(description="Tests: prompt with arguments")
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt(description="Tests: prompt with embedded resource")
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    return [UserMessage(embedded(resourceUri)), UserMessage("Please process the embedded resource above.")]


@server.prompt(description="Tests: prompt with image")
def test_prompt_with_image() -> list[UserMessage]:
    return [UserMessage(image), UserMessage("Please analyze the image above.")]


@server.completion()
async def complete(ref, argument, context):
    return Completion(values=["paris", "park", "party"], total=150, hasMore=False)


if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    # What names it, apart from itself, is refused, as a server on this machine should.
    hosts = server.settings.transport_security
    hosts.allowed_hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
    hosts.allowed_origins = [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]
    print(port, flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
