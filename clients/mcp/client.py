"""Drives the official MCP SDK for Python, unmodified, through the gateway.

Usage: client.py GATEWAY KEY FILE. Asks the servers `http`, `stdio`, `mortal`, `old-http` and
`old-stdio`, as agents that are named by how they ask. Writes to FILE how each call of a tool should
stand in the record. Says one line for each check that fails; exit code 1 if any did.

Runs with both major versions of the SDK. The first knows only the revisions with a session.
"""

import asyncio
import collections
import contextlib
import importlib.metadata
import json
import sys

import anyio
import mcp
from mcp import types
from pydantic import AnyUrl

gateway, key, file = sys.argv[1:]
HEADERS = {"authorization": f"Bearer {key}"}
SDK = importlib.metadata.version("mcp")
FIRST = SDK.startswith("1.")
MODES = ["legacy"] if FIRST else ["legacy", "2026-07-28"]
RAISED = mcp.McpError if FIRST else mcp.MCPError
HANGS = 20
WHOLE = "the whole of it"

passed, failed = 0, 0
# Agent → tool → how its calls ended.
expected = collections.defaultdict(lambda: collections.defaultdict(list))


async def check(name, what, wanted=None, raises=False):
    """That something gives what is wanted, or raises the SDK's error; and in any case ends."""
    global passed, failed
    try:
        with anyio.fail_after(HANGS):
            got = await what
        wrong = f"it ended as if whole: {got!r}" if raises else None
        if wrong is None and got != wanted:
            wrong = f"got {got!r}, expected {wanted!r}"
    except Exception as error:  # Whatever a client raises is what is looked at here.
        wrong = None if raises and isinstance(error, RAISED) else f"raised {error!r}"
    passed, failed = passed + (wrong is None), failed + (wrong is not None)
    if wrong:
        print(f"mcp {SDK} {name}: {wrong}")


async def sample(context, params):
    said = types.TextContent(type="text", text="it is late")
    return types.CreateMessageResult(role="assistant", content=said, model="m")


async def elicit(context, params):
    return types.ElicitResult(action="accept", content={"yes": True})


@contextlib.asynccontextmanager
async def connected(url, mode, heard):
    """A client of the SDK that has said hello."""

    async def log(params):
        heard.append(params.data)

    if FIRST:
        from mcp.client.streamable_http import streamablehttp_client
        async with streamablehttp_client(url, HEADERS) as (read, write, _), mcp.ClientSession(
            read, write, sampling_callback=sample, elicitation_callback=elicit,
            logging_callback=log,
        ) as session:
            await session.initialize()
            yield session
    else:
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client
        async with create_mcp_http_client(HEADERS) as http, mcp.Client(
            streamable_http_client(url, http_client=http), mode=mode, sampling_callback=sample,
            elicitation_callback=elicit, logging_callback=log, log_level="info", cache=None,
        ) as client:
            yield client


def of(result, name):
    """A field by the name that it has on the wire, which the first version of the SDK keeps."""
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return getattr(result, name if FIRST else snake)


class Desk:
    """One way of asking, and what it should leave in the record."""

    def __init__(self, server, mode):
        self.server, self.mode = server, mode
        self.agent = f"mcp-{SDK}-{server}-{mode}"
        self.url = f"{gateway}/agents/{self.agent}/mcp/{server}"
        self.heard = []

    def connect(self):
        return connected(self.url, self.mode, self.heard)

    async def call(self, client, tool, ends="succeeded", **arguments):
        """Calls a tool and returns its words, or those of its error."""
        expected[self.agent][tool].append(ends)
        progress = arguments.pop("progress", None)
        result = await client.call_tool(tool, arguments, progress_callback=progress)
        return ("error: " if of(result, "isError") else "") + result.content[0].text

    async def check(self, name, what, wanted=None, raises=False):
        await check(f"{self.server} {self.mode} {name}", what, wanted, raises)


async def words(desk, client):
    """What a server offers passes as it is."""
    tools = (await client.list_tools()).tools
    await desk.check("list", value(len(tools)), 14)
    look = next(tool for tool in tools if tool.name == "look")
    await desk.check("annotations", value(of(look.annotations, "readOnlyHint")), True)
    await desk.check("resources", names(client.list_resources(), "resources"), ["today"])
    templates = client.list_resource_templates()
    await desk.check("templates", names(templates, "resourceTemplates"), ["order"])
    await desk.check("prompts", names(client.list_prompts(), "prompts"), ["greet"])
    await desk.check("read", read(client, "note://today"), "Ship before noon.")
    await desk.check("read a template", read(client, "order://W7"), "order W7")
    await desk.check("read nothing", read(client, "note://never"), raises=True)
    await desk.check("prompt", prompt(client), "Greet Ada.")
    await desk.check("complete", complete(client), ["Rotterdam"])


async def value(it):
    return it


async def names(listing, field):
    return [each.name for each in of(await listing, field)]


async def read(client, uri):
    return (await client.read_resource(AnyUrl(uri) if FIRST else uri)).contents[0].text


async def prompt(client):
    return (await client.get_prompt("greet", {"name": "Ada"})).messages[0].content.text


async def complete(client):
    ref = types.PromptReference(type="ref/prompt", name="greet")
    return (await client.complete(ref, {"name": "name", "value": "Rotter"})).completion.values


async def calls(desk, client):
    """Calls of tools, one after another and at once."""
    call = desk.call
    await desk.check("call", call(client, "look", order="W1"), "Order W1 is at the depot.")
    await desk.check("write", call(client, "cancel_order", order="W1"), "Order W1 is cancelled.")
    await desk.check("structure", structure(desk, client), {"order": "W1", "street": "Main"})
    orders = [f"W{n}" for n in range(10, 30)]
    at_once = asyncio.gather(*(call(client, "look", order=order) for order in orders))
    await desk.check("at once", at_once, [f"Order {order} is at the depot." for order in orders])
    closed = "error: Error executing tool fail: the depot is closed"
    await desk.check("error", call(client, "fail", "failed"), closed)
    wrong = call(client, "look", "failed", orders="W1")
    await desk.check("wrong arguments", begins(wrong), "error")
    await desk.check("no such tool", unknown(desk, client), "error")
    steps = []

    async def progress(done, total, message):
        steps.append((done, total))

    counted = call(client, "count", to=3, progress=progress)
    await desk.check("progress", counted, "counted to 3")
    # What is told on the way may be heard after the answer.
    with anyio.move_on_after(5):
        while len(steps) < 3 or "counted" not in desk.heard:
            await anyio.sleep(0.01)
    await desk.check("steps", value(steps), [(1, 3), (2, 3), (3, 3)])
    await desk.check("log", value(desk.heard), ["counted"])


async def structure(desk, client):
    expected[desk.agent]["address"].append("succeeded")
    result = await client.call_tool("address", {"order": "W1", "street": "Main"})
    return of(result, "structuredContent")


async def begins(said):
    return (await said).split(":")[0].split(" ")[0].lower()


async def unknown(desk, client):
    """A tool that is not there: an error of the protocol, or of the tool."""
    try:
        return await begins(desk.call(client, "no_such_tool", "failed"))
    except RAISED:
        return "error"


async def asked(desk, client):
    """A server that asks back. Since 2026-07-28 it answers with what it wants to know first, and
    is called again; the first call has then changed nothing that anybody knows of."""
    for tool, answer in (("ask_person", "the person says True"),
                         ("ask_model", "the model says it is late")):
        if desk.mode != "legacy":
            expected[desk.agent][tool].append("unknown")
        await desk.check(tool, desk.call(client, tool), answer)


async def cancelled(desk, client):
    """A caller that no longer waits. The first version of the SDK tells nobody, and is left out."""
    if FIRST:
        return
    begun = anyio.Event()

    async def progress(done, total, message):
        begun.set()

    # Over HTTP and with a session the server says that it stopped; else nobody can say whether
    # what was begun was done.
    says = desk.mode == "legacy" and desk.server == "http"
    ends = "cancelled" if says else "unknown"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: desk.call(client, "wait", ends, progress=progress))
        with anyio.fail_after(HANGS):
            await begun.wait()
        tasks.cancel_scope.cancel()
    await desk.check("after cancelling", desk.call(client, "look", order="W2"),
                     "Order W2 is at the depot.")


async def broken_off(desk, client):
    """No answer that broke off is taken for one."""
    async def ignore(done, total, message):
        pass

    for tool in ("cut", "eof", "half", "short"):
        # Who asks for progress gets a stream.
        progress = None if tool == "short" else ignore
        await desk.check(tool, desk.call(client, tool, "unknown", progress=progress), raises=True)
    await desk.check("after faults", desk.call(client, "look", order="W3"),
                     "Order W3 is at the depot.")


async def over_http(mode):
    desk = Desk("http", mode)
    async with desk.connect() as client:
        await words(desk, client)
        await calls(desk, client)
        await asked(desk, client)
        await cancelled(desk, client)
        await broken_off(desk, client)
        if mode == "legacy":
            await desk.check("forget", desk.call(client, "forget"), "the session is over")
            look = desk.call(client, "look", "failed", order="W4")
            await desk.check("session is over", look, raises=True)
    async with desk.connect() as client:
        await desk.check("again", desk.call(client, "look", order="W5"),
                         "Order W5 is at the depot.")


async def over_stdio(mode):
    desk = Desk("stdio", mode)
    async with desk.connect() as client:
        await words(desk, client)
        await calls(desk, client)
        await asked(desk, client)
        await cancelled(desk, client)
        await desk.check("die", desk.call(client, "die", "unknown"), raises=True)
        if mode == "legacy":
            look = desk.call(client, "look", "failed", order="W4")
            await desk.check("session is over", look, raises=True)
    async with desk.connect() as client:
        await desk.check("again", desk.call(client, "look", order="W5"),
                         "Order W5 is at the depot.")


async def before_an_old_one(server):
    """A server of the first version of the SDK, which a newer client finds out by asking."""
    desk = Desk(server, "legacy" if FIRST else "auto")
    async with desk.connect() as client:
        said = "This is a simple text response for testing."
        await desk.check("old", desk.call(client, "test_simple_text"), said)
        fails = begins(desk.call(client, "test_error_handling", "failed"))
        await desk.check("old error", fails, "error")


async def over_once():
    """A server that dies under a call, and stays away."""
    desk = Desk("mortal", MODES[-1])
    async with desk.connect() as client:
        await desk.check("die", desk.call(client, "die", "unknown"), raises=True)
        look = desk.call(client, "look", "failed", order="W4")
        await desk.check("nobody there", look, raises=True)


async def main():
    for mode in MODES:
        await over_http(mode)
        await over_stdio(mode)
    for server in ("old-http", "old-stdio"):
        await before_an_old_one(server)
    if not FIRST:
        await over_once()
    with open(file, "w") as out:
        json.dump(expected, out)


asyncio.run(main())
print(f"{passed} checks passed, {failed} failed: mcp {SDK}")
sys.exit(failed > 0)
