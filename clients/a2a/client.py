"""Drives the official A2A SDK for Python, unmodified, through the gateway.

Usage: client.py GATEWAY KEY FILE. Talks to the agents `new` and `old`, under names that tell how.
Writes to FILE how each message should stand in the record. Says one line for each check that
fails; exit code 1 if any did.

Runs with both major versions of the SDK: the first speaks 0.3, the second that and 1.0.
"""

import asyncio
import collections
import http.server
import importlib.metadata
import json
import sys
import threading

import httpx

gateway, key, file = sys.argv[1:]
HEADERS = {"authorization": f"Bearer {key}"}
SDK = importlib.metadata.version("a2a-sdk")
HANGS = 20
passed, failed = 0, 0
# Agent → words of the message → how it ended.
expected = collections.defaultdict(lambda: collections.defaultdict(list))


class First:
    """The SDK before 1.0."""

    def __init__(self, streaming):
        from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
        from a2a.client.errors import A2AClientError
        self.http = httpx.AsyncClient(timeout=HANGS, headers=HEADERS)
        self.resolver, self.raised = A2ACardResolver, A2AClientError
        self.factory = ClientFactory(ClientConfig(streaming=streaming, httpx_client=self.http))

    async def connect(self, url):
        self.card = await self.resolver(self.http, url).get_agent_card()
        self.client = self.factory.create(self.card)
        return [self.card.url, *(each.url for each in self.card.additional_interfaces or [])]

    async def extended(self):
        card = await self.client.get_card()
        return [card.url, *(each.url for each in card.additional_interfaces or [])]

    async def say(self, words, task=None, context=None):
        from a2a.client.helpers import create_text_message_object
        message = create_text_message_object(content=words)
        message.task_id, message.context_id = task, context
        async for event in self.client.send_message(message):
            yield self.read(event[0] if isinstance(event, tuple) else event)

    async def take_up(self, task):
        from a2a.types import TaskIdParams
        async for event in self.client.resubscribe(TaskIdParams(id=task)):
            yield self.read(event[0])

    def read(self, it):
        if it.kind == "message":
            return "message", it.parts[0].root.text, it.task_id, it.context_id
        said = [part for artifact in it.artifacts or [] for part in artifact.parts]
        said += it.status.message.parts if it.status.message else []
        return it.status.state.value, "".join(part.root.text for part in said), it.id, it.context_id

    async def get(self, task):
        from a2a.types import TaskQueryParams
        return self.read(await self.client.get_task(TaskQueryParams(id=task)))

    async def cancel(self, task):
        from a2a.types import TaskIdParams
        return self.read(await self.client.cancel_task(TaskIdParams(id=task)))

    async def push(self, task, url):
        from a2a.types import (GetTaskPushNotificationConfigParams, PushNotificationConfig,
                               TaskPushNotificationConfig)
        config = PushNotificationConfig(id="c", url=url)
        config = TaskPushNotificationConfig(task_id=task, push_notification_config=config)
        await self.client.set_task_callback(config)
        asked = GetTaskPushNotificationConfigParams(id=task, push_notification_config_id="c")
        return (await self.client.get_task_callback(asked)).push_notification_config.url


class Second:
    """The SDK since 1.0."""

    def __init__(self, streaming):
        from a2a.client import ClientConfig, ClientFactory
        from a2a.types import a2a_pb2
        from a2a.utils.errors import A2AError
        self.types, self.raised = a2a_pb2, A2AError
        self.http = httpx.AsyncClient(timeout=HANGS, headers=HEADERS)
        self.factory = ClientFactory(ClientConfig(streaming=streaming, httpx_client=self.http))

    async def connect(self, url):
        from a2a.client import A2ACardResolver
        card = await A2ACardResolver(self.http, url).get_agent_card()
        self.client = self.factory.create(card)
        return [each.url for each in card.supported_interfaces]

    async def extended(self):
        asked = self.types.GetExtendedAgentCardRequest()
        card = await self.client.get_extended_agent_card(asked)
        return [each.url for each in card.supported_interfaces]

    async def say(self, words, task=None, context=None):
        from a2a.helpers import new_text_message
        message = new_text_message(words, role=self.types.Role.ROLE_USER)
        message.task_id, message.context_id = task or "", context or ""
        async for event in self.client.send_message(self.types.SendMessageRequest(message=message)):
            yield self.read(event)

    async def take_up(self, task):
        asked = self.types.SubscribeToTaskRequest(id=task)
        async for event in self.client.subscribe(asked):
            yield self.read(event)

    def read(self, event):
        from a2a.helpers import get_artifact_text, get_message_text
        kind = event.WhichOneof("payload")
        it = getattr(event, kind)
        if kind == "message":
            return "message", get_message_text(it), it.task_id, it.context_id
        if kind == "artifact_update":
            return "working", get_artifact_text(it.artifact), it.task_id, it.context_id
        return self.stands(it, it.id if kind == "task" else it.task_id)

    def stands(self, it, id):
        from a2a.helpers import get_artifact_text, get_message_text
        state = self.types.TaskState.Name(it.status.state).removeprefix("TASK_STATE_").lower()
        said = [get_artifact_text(artifact) for artifact in getattr(it, "artifacts", [])]
        said.append(get_message_text(it.status.message))
        return state.replace("_", "-"), "".join(said), id, it.context_id

    async def get(self, task):
        return self.stands(await self.client.get_task(self.types.GetTaskRequest(id=task)), task)

    async def cancel(self, task):
        asked = self.types.CancelTaskRequest(id=task)
        return self.stands(await self.client.cancel_task(asked), task)

    async def push(self, task, url):
        config = self.types.TaskPushNotificationConfig(task_id=task, id="c", url=url)
        await self.client.create_task_push_notification_config(config)
        asked = self.types.GetTaskPushNotificationConfigRequest(task_id=task, id="c")
        return (await self.client.get_task_push_notification_config(asked)).url


Sdk = First if SDK.startswith("0.") else Second


async def check(name, what, wanted=None, raises=None):
    """That something gives what is wanted, or raises the SDK's error; and in any case ends."""
    global passed, failed
    try:
        got = await asyncio.wait_for(what, HANGS)
        wrong = f"it ended as if whole: {got!r}" if raises else None
        if wrong is None and got != wanted:
            wrong = f"got {got!r}, expected {wanted!r}"
    except Exception as error:  # Whatever a client raises is what is looked at here.
        wrong = None if raises and isinstance(error, raises) else f"raised {error!r}"
    passed, failed = passed + (wrong is None), failed + (wrong is not None)
    if wrong:
        print(f"a2a-sdk {SDK} {name}: {wrong}")


async def value(it):
    return it


class Told(http.server.BaseHTTPRequestHandler):
    """Hears what agents push."""

    heard = threading.Event()

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.heard.set()

    def log_message(self, *_):
        pass


async def talk(agent, streaming):
    name = f"a2a-{SDK}-{agent}-{'stream' if streaming else 'plain'}"
    sdk = Sdk(streaming)
    url = f"{gateway}/agents/{name}/a2a/{agent}"

    async def checks(what, doing, wanted=None, raises=None):
        await check(f"{agent} {'stream' if streaming else 'plain'} {what}", doing, wanted, raises)

    def ends(words, how):
        expected[name][words].append(how)

    async def say(words, how, task=None, context=None):
        """Says something; how it stands at the end, and all that was said."""
        ends(words, how)
        states, texts = [], []
        async for state, text, *_ in sdk.say(words, task, context):
            states.append(state)
            texts.append(text)
        return states[-1], max(texts, key=len)

    addresses = await sdk.connect(url)
    await checks("card", value(set(addresses)), {url})
    await checks("extended card", extended(sdk), {url})
    await checks("hello", say("hello", "succeeded"), ("message", "Hello."))
    await checks("work", say("work", "succeeded"), ("completed", "Done: W1."))
    await checks("fail", say("fail", "failed"), ("failed", "The depot is closed."))
    await checks("reject", say("reject", "failed"), ("rejected", "Not my task."))
    await asked(sdk, checks, ends)
    await goes_on(sdk, checks, ends, url)
    await checks("no such task", sdk.get("no-such-task"), raises=sdk.raised)
    await checks("nothing to cancel", sdk.cancel("no-such-task"), raises=sdk.raised)
    faults = ["cut", "eof", "half"] if streaming else ["short"]
    for fault in faults:
        # The agent went on, and nobody asked it how that ended.
        await checks(fault, say(fault, "unknown"), raises=sdk.raised)
    await checks("after faults", say("work", "succeeded"), ("completed", "Done: W1."))


async def extended(sdk):
    return set(await sdk.extended())


async def asked(sdk, checks, ends):
    """An agent that asks back, and the answer in the same conversation."""
    ends("ask", "unknown")
    last = [event async for event in sdk.say("ask")][-1]
    await checks("ask", value(last[:2]), ("input-required", "Which order?"))
    ends("W1", "succeeded")
    then = [event async for event in sdk.say("W1", last[2], last[3])][-1]
    await checks("answer", value(then[0]), "completed")
    state, text, *_ = await sdk.get(last[2])
    await checks("get", value((state, "Done: W1." in text)), ("completed", True))


async def goes_on(sdk, checks, ends, url):
    """A task that takes long: found by another, pushed, taken up again, and cancelled."""
    ends("long", "cancelled")
    # Only a stream tells the name of a task that goes on.
    streaming = Sdk(True)
    await streaming.connect(url)
    named = asyncio.get_running_loop().create_future()

    async def last(events):
        async for state, _, id, _ in events:
            if not named.done():
                named.set_result(id)
        return state

    begun = asyncio.create_task(last(streaming.say("long")))
    task = await asyncio.wait_for(named, HANGS)
    hears = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told)
    threading.Thread(target=hears.serve_forever, daemon=True).start()
    Told.heard.clear()
    pushed = f"http://127.0.0.1:{hears.server_address[1]}/"
    await checks("push", sdk.push(task, pushed), pushed)
    await checks("goes on", state_of(sdk.get(task)), "working")
    begins = asyncio.Event()

    async def follow():
        async for state, *_ in streaming.take_up(task):
            begins.set()
        return state

    following = asyncio.create_task(follow())
    await asyncio.wait_for(begins.wait(), HANGS)
    await checks("cancel", state_of(sdk.cancel(task)), "canceled")
    await checks("long", begun, "canceled")
    await checks("taken up", following, "canceled")
    await checks("pushed", asyncio.to_thread(Told.heard.wait, HANGS), True)
    hears.shutdown()


async def state_of(task):
    return (await task)[0]


async def main():
    for agent in ("new", "old"):
        for streaming in (True, False):
            await talk(agent, streaming)
    with open(file, "w") as out:
        json.dump(expected, out)


asyncio.run(main())
print(f"{passed} checks passed, {failed} failed: a2a-sdk {SDK}")
sys.exit(failed > 0)
