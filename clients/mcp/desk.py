"""An MCP server for the official clients: it answers, asks back, waits and breaks off, as told.

Usage: desk.py http|stdio. Speaks every revision up to 2026-07-28. Over HTTP it prints its port and
serves `/mcp` there; between its answers and the wire stands what breaks them off.
"""

import asyncio
import json
import os
import socket
import sys
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve, Sample
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import Completion, SamplingMessage, TextContent, ToolAnnotations
from pydantic import BaseModel

server = MCPServer("desk", log_level="ERROR")
# Answers that break off after a sign of progress: with the connection, cleanly, or inside a line.
FAULTS = {"cut", "eof", "half"}


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def look(order: str) -> str:
    return f"Order {order} is at the depot."


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def cancel_order(order: str) -> str:
    return f"Order {order} is cancelled."


@server.tool(annotations=ToolAnnotations(idempotent_hint=True, destructive_hint=False))
def address(order: str, street: str) -> dict[str, str]:
    return {"order": order, "street": street}


@server.tool()
def fail() -> str:
    raise ToolError("the depot is closed")


@server.tool()
async def count(to: int, ctx: Context) -> str:
    for done in range(1, to + 1):
        await ctx.report_progress(done, to)
    await ctx.info("counted")
    return f"counted to {to}"


@server.tool()
async def wait(ctx: Context) -> str:
    await ctx.report_progress(1)
    await asyncio.sleep(3_600)
    return "waited"


class Yes(BaseModel):
    yes: bool


def person() -> Elicit[Yes]:
    return Elicit("Shall it be cancelled?", Yes)


@server.tool()
def ask_person(answer: Annotated[Yes, Resolve(person)]) -> str:
    return f"the person says {answer.yes}"


def model() -> Sample:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="Is it late?"))
    return Sample([asked], max_tokens=9)


@server.tool()
def ask_model(answer: Annotated[object, Resolve(model)]) -> str:
    return f"the model says {answer.content.text}"


async def begin(ctx: Context) -> str:
    await ctx.report_progress(1)
    await asyncio.sleep(0.05)
    return "the whole of it"


for name in FAULTS:
    server.tool(name)(begin)


@server.tool()
def short() -> str:
    return "the whole of it"


@server.tool()
def forget() -> str:
    return "the session is over"


@server.tool()
def die() -> str:
    os._exit(3)


@server.resource("note://today")
def today() -> str:
    return "Ship before noon."


@server.resource("order://{id}")
def order(id: str) -> str:
    return f"order {id}"


@server.prompt()
def greet(name: str) -> str:
    return f"Greet {name}."


@server.completion()
async def complete(ref, argument, context):
    return Completion(values=[argument.value + "dam"])


class Wire:
    """Breaks off answers, and forgets sessions."""

    def __init__(self, app):
        self.app, self.forgotten = app, set()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = json.loads(body or b"{}")
        tool = asked.get("params", {}).get("name") if asked.get("method") == "tools/call" else None
        session = dict(scope["headers"]).get(b"mcp-session-id")
        if session in self.forgotten:
            return await gone(send, asked.get("id"))
        if tool == "forget" and session:
            self.forgotten.add(session)
        await self.app(scope, again(body, receive), Breaking(send, tool) if tool else send)


def again(body, receive):
    """What gives the body that was read, and then goes on."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def next():
        return parts.pop() if parts else await receive()

    return next


async def gone(send, id):
    error = {"jsonrpc": "2.0", "id": id, "error": {"code": -32001, "message": "Session not found"}}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(error).encode()})


class Broken(Exception):
    pass


class Breaking:
    """Sends an answer, up to where its tool says."""

    def __init__(self, send, tool):
        self.send, self.tool, self.begun, self.over = send, tool, False, False

    async def __call__(self, message):
        if self.over or message["type"] != "http.response.body":
            return None if self.over else await self.send(message)
        body = message.get("body", b"")
        if self.tool == "short" and body:
            await self.send({**message, "body": body[:len(body) // 2], "more_body": True})
            raise Broken
        if self.tool in FAULTS and self.begun and b"result" in body:
            self.over = True
            if self.tool == "half":
                await self.send({**message, "body": body[:len(body) // 2], "more_body": True})
            if self.tool == "cut":
                raise Broken
            return await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        self.begun |= b"notifications/progress" in body
        return await self.send(message)


if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = Wire(server.streamable_http_app())
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
