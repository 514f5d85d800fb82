"""What the two servers for the conformance suite have in common.

They run on two majors of the SDK, which call the same things by other names; contents are made of
their form on the wire, which both read. What only one of them has stands in its own file.
"""

import asyncio
import base64
import socket
import sys

import uvicorn
from mcp.types import AudioContent, Completion, EmbeddedResource, ImageContent, TextContent

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SOUND = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0\x80>\0\0\x02\0\x10\0data\0\0\0\0")
image = ImageContent.model_validate({"type": "image", "data": PIXEL, "mimeType": "image/png"})
sound = AudioContent.model_validate({"type": "audio", "data": SOUND.decode(), "mimeType": "audio/wav"})


def words(text):
    return TextContent(type="text", text=text)


def embedded(uri, text="This is an embedded resource content."):
    resource = {"uri": uri, "mimeType": "text/plain", "text": text}
    return EmbeddedResource.model_validate({"type": "resource", "resource": resource})


def add_tools(tool, Context):
    """Adds tools; `tool` makes one of a function and what it tests."""

    @tool("simple text")
    def test_simple_text() -> list[TextContent]:
        return [words("This is a simple text response for testing.")]

    @tool("image content")
    def test_image_content() -> list[ImageContent]:
        return [image]

    @tool("audio content")
    def test_audio_content() -> list[AudioContent]:
        return [sound]

    @tool("embedded resource")
    def test_embedded_resource() -> list[EmbeddedResource]:
        return [embedded("test://embedded-resource")]

    @tool("multiple content types")
    def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        return [words("Multiple content types test:"), image, embedded("test://mixed-content-resource", "{}")]

    @tool("tool with progress")
    async def test_tool_with_progress(ctx: Context) -> str:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
            await asyncio.sleep(0.05)
        return "done"


def add_resources(server):
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


def add_prompts(server, UserMessage):
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
        return Completion.model_validate({"values": ["paris", "park", "party"], "total": 150, "hasMore": False})


def serve(server, app):
    """Speaks stdio, or HTTP on a port of its own, which it prints.

    `app` makes the application, told by which names it may be asked: what names it otherwise is
    refused, as a server on this machine should.
    """
    if sys.argv[1] == "stdio":
        server.run("stdio")
        return
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    names = [f"127.0.0.1:{port}", f"localhost:{port}"]
    made = app(names, [f"http://{name}" for name in names])
    print(port, flush=True)
    config = uvicorn.Config(made, log_level="critical", timeout_graceful_shutdown=1)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
