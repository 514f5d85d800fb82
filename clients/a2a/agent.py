"""An agent for the official A2A clients: it does what the words of a message say.

Usage: agent.py. Prints its port. At `/new` is an agent that speaks versions 1.0 and 0.3, at `/old`
the same one with a card that knows only 0.3. Between its answers and the wire stands what breaks
them off.
"""

import asyncio
import socket

import httpx
import uvicorn
from a2a.helpers import get_message_text, new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
    TaskUpdater,
)
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Role
from starlette.applications import Starlette

# Answers that break off after their first event: with the connection, cleanly, or inside a line.
FAULTS = {b"cut", b"eof", b"half"}


class Depot(AgentExecutor):
    async def execute(self, context, queue):
        words = get_message_text(context.message)
        if words == "hello":
            return await queue.enqueue_event(new_text_message("Hello.", role=Role.ROLE_AGENT))
        task = TaskUpdater(queue, context.task_id, context.context_id)
        if context.current_task is None:
            await queue.enqueue_event(new_task_from_user_message(context.message))
        await task.start_work()
        if words == "crash":
            raise RuntimeError("out of order")
        if words == "long":
            await asyncio.sleep(3_600)
        if words == "ask":
            return await task.requires_input(self.say(task, "Which order?"))
        if words == "fail":
            return await task.failed(self.say(task, "The depot is closed."))
        if words == "reject":
            return await task.reject(self.say(task, "Not my task."))
        await task.add_artifact([new_text_part("Done: W1.")])
        await task.complete()

    async def cancel(self, context, queue):
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()

    @staticmethod
    def say(task, text):
        return task.new_agent_message([new_text_part(text)])


class Wire:
    """Breaks off answers, by the words that they answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        told = next((word for word in FAULTS | {b"short"} if b'"%s"' % word in body), None)
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def again():
            return parts.pop() if parts else await receive()

        await self.app(scope, again, Breaking(send, told) if told else send)


class Broken(Exception):
    pass


class Breaking:
    """Sends an answer, up to where it is told to."""

    def __init__(self, send, told):
        self.send, self.told, self.events, self.over = send, told, 0, False

    async def __call__(self, message):
        body = message.get("body", b"")
        if self.over:
            return None
        self.events += bool(body)
        if self.told == b"short" and body:
            await self.send({**message, "body": body[:len(body) // 2], "more_body": True})
            raise Broken
        if self.told != b"short" and self.events == 3:
            self.over = True
            if self.told == b"half":
                await self.send({**message, "body": body[:len(body) // 2], "more_body": True})
            if self.told == b"cut":
                raise Broken
            return await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        return await self.send(message)


def card(port, path, versions):
    return AgentCard(
        name="Depot", description="Does what it is told.", version="1",
        default_input_modes=["text/plain"], default_output_modes=["text/plain"],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True,
                                       extended_agent_card=True),
        skills=[AgentSkill(id="orders", name="Orders", description="Orders", tags=["orders"])],
        supported_interfaces=[
            AgentInterface(url=f"http://127.0.0.1:{port}{path}/rpc", protocol_binding="JSONRPC",
                           protocol_version=version) for version in versions])


def agent(port, path, versions):
    shown, configs = card(port, path, versions), InMemoryPushNotificationConfigStore()
    sender = BasePushNotificationSender(httpx.AsyncClient(trust_env=False), configs)
    handler = DefaultRequestHandler(Depot(), InMemoryTaskStore(), shown, push_config_store=configs,
                                    push_sender=sender, extended_agent_card=shown)
    return [*create_jsonrpc_routes(handler, f"{path}/rpc", enable_v0_3_compat=True),
            *create_agent_card_routes(shown, card_url=f"{path}/.well-known/agent-card.json")]


listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
print(port, flush=True)
routes = agent(port, "/new", ["1.0", "0.3"]) + agent(port, "/old", ["0.3"])
config = uvicorn.Config(Wire(Starlette(routes=routes)), log_level="critical",
                        timeout_graceful_shutdown=1)
asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
