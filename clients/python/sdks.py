"""Drives the official SDKs for Python, unmodified, through the gateway.

Usage: sdks.py GATEWAY STUB KEY. Says one line for each check that fails; exit code 1 if any did.
"""

import json
import sys
import urllib.request

import anthropic
import openai
import pydantic

gateway, stub, key = sys.argv[1:]
TEXT = "The parcel left the depot today."
ASK = [{"role": "user", "content": "Where is it?"}]
TOOLS = ["get_order", "get_stock"]
PARAMETERS = {"type": "object", "properties": {"id": {"type": "string"}}}
IMAGE = "https://images.example/cat.png"

chat = openai.OpenAI(base_url=f"{gateway}/agents/py-openai/openai/v1", api_key=key)
claude = anthropic.Anthropic(base_url=f"{gateway}/agents/py-anthropic/anthropic", api_key=key)
passed, failed = 0, 0


def check(name, what, expected=None, raises=None):
    global passed, failed
    try:
        got = what()
        wrong = f"it ended as if whole: {got!r}" if raises else None
        if wrong is None and got != expected:
            wrong = f"got {got!r}, expected {expected!r}"
    except Exception as error:  # Whatever a client raises is what is looked at here.
        wrong = None if raises and isinstance(error, raises) else f"raised {error!r}"
    passed, failed = passed + (wrong is None), failed + (wrong is not None)
    if wrong:
        print(f"python {name}: {wrong}")


def seen(model):
    with urllib.request.urlopen(f"{stub}/seen") as answer:
        return json.load(answer).get(model, 0)


# Plain and streamed, on each wire: asks with a model, returns the text.

def chat_plain(model):
    return chat.chat.completions.create(model=model, messages=ASK).choices[0].message.content


def chat_stream(model):
    stream = chat.chat.completions.create(model=model, messages=ASK, stream=True)
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def responses_plain(model):
    return chat.responses.create(model=model, input="Where is it?").output_text


def responses_stream(model):
    stream = chat.responses.create(model=model, input="Where is it?", stream=True)
    return "".join(e.delta for e in stream if e.type == "response.output_text.delta")


def messages_plain(model):
    answer = claude.messages.create(model=model, max_tokens=99, messages=ASK)
    return answer.content[0].text


def messages_stream(model):
    with claude.messages.stream(model=model, max_tokens=99, messages=ASK) as stream:
        return "".join(stream.text_stream)


PLAIN = {"chat": chat_plain, "responses": responses_plain, "messages": messages_plain}
STREAM = {"chat": chat_stream, "responses": responses_stream, "messages": messages_stream}
RAISED = (openai.APIError, anthropic.APIError)

for wire in PLAIN:
    check(f"{wire} plain", lambda: PLAIN[wire]("plain"), TEXT)
    check(f"{wire} stream", lambda: STREAM[wire]("plain"), TEXT)

# Calls of two tools at once.

TOOL = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}}
        for name in TOOLS]
FLAT = [{"type": "function", "name": name, "parameters": PARAMETERS, "strict": False}
        for name in TOOLS]
CLAUDE_TOOL = [{"name": name, "input_schema": PARAMETERS} for name in TOOLS]
ASKED = [("get_order", {"id": "W1"}), ("get_stock", {"id": "S2"})]


def read(calls):
    return [(name, json.loads(arguments)) for name, arguments in calls]


def chat_calls():
    answer = chat.chat.completions.create(model="calls", messages=ASK, tools=TOOL)
    calls = answer.choices[0].message.tool_calls
    return read((call.function.name, call.function.arguments) for call in calls)


def chat_calls_stream():
    calls = {}
    for c in chat.chat.completions.create(model="calls", messages=ASK, tools=TOOL, stream=True):
        for call in c.choices[0].delta.tool_calls or []:
            name, arguments = calls.get(call.index, ("", ""))
            function = call.function
            calls[call.index] = (name + (function.name or ""),
                                 arguments + (function.arguments or ""))
    return read(calls.values())


def responses_calls():
    output = chat.responses.create(model="calls", input="Where?", tools=FLAT).output
    return read((call.name, call.arguments) for call in output)


def responses_calls_stream():
    with chat.responses.stream(model="calls", input="Where?", tools=FLAT) as stream:
        output = stream.until_done().get_final_response().output
    return read((call.name, call.arguments) for call in output)


def messages_calls():
    answer = claude.messages.create(model="calls", max_tokens=99, messages=ASK, tools=CLAUDE_TOOL)
    return [(block.name, block.input) for block in answer.content]


def messages_calls_stream():
    with claude.messages.stream(model="calls", max_tokens=99, messages=ASK,
                                tools=CLAUDE_TOOL) as stream:
        return [(block.name, block.input) for block in stream.get_final_message().content]


for ask in (chat_calls, chat_calls_stream, responses_calls, responses_calls_stream,
            messages_calls, messages_calls_stream):
    check(ask.__name__, ask, ASKED)

# An image by reference, and an answer with a structure.

check("chat image", lambda: chat.chat.completions.create(model="image", messages=[
    {"role": "user", "content": [{"type": "text", "text": "What is it?"},
                                 {"type": "image_url", "image_url": {"url": IMAGE}}]}
]).choices[0].message.content, "1 image")
check("responses image", lambda: chat.responses.create(model="image", input=[
    {"role": "user", "content": [{"type": "input_image", "detail": "auto", "image_url": IMAGE}]}
]).output_text, "1 image")
check("messages image", lambda: claude.messages.create(model="image", max_tokens=99, messages=[
    {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": IMAGE}}]}
]).content[0].text, "1 image")


class City(pydantic.BaseModel):
    city: str
    people: int


check("chat structured", lambda: chat.chat.completions.parse(
    model="structured", messages=ASK, response_format=City).choices[0].message.parsed,
    City(city="Paris", people=2))
check("responses structured", lambda: chat.responses.parse(
    model="structured", input="Where?", text_format=City).output_parsed,
    City(city="Paris", people=2))

# Errors: each raises, and the upstream is asked once, although these clients try three times.

for status in (400, 401, 404, 429, 500, 503, 529):
    model = f"status-{status}"
    for wire in PLAIN:
        for kind, ask in (("plain", PLAIN[wire]), ("stream", STREAM[wire])):
            before = seen(model)
            check(f"{wire} {kind} {status}", lambda: ask(model),
                  raises=(openai.APIStatusError, anthropic.APIStatusError))
            check(f"{wire} {kind} {status}: requests", lambda: seen(model) - before, 1)
for wire in PLAIN:
    for model in ("error-200", "cut-plain"):
        check(f"{wire} plain {model}", lambda: PLAIN[wire](model), raises=RAISED)
    check(f"{wire} stream error-200", lambda: STREAM[wire]("error-200"), raises=RAISED)

# Faults in the middle of a stream: no client takes what came for everything.

for fault in ("eof", "cut", "half", "mark", "bare-error", "error", "malformed"):
    for wire in STREAM:
        check(f"{wire} stream {fault}", lambda: STREAM[wire](fault), raises=RAISED)

print(f"{passed} checks passed, {failed} failed: openai {openai.__version__}, "
      f"anthropic {anthropic.__version__}")
sys.exit(failed > 0)
