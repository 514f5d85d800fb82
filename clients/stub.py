"""An upstream that speaks three wires and fails as the name of the model says.

Serves OpenAI's chat completions and responses and Anthropic's messages on a port of its own, which
it prints. The model of a request is the scenario: `plain` answers, `calls` asks for two tools at
once, `cut` breaks off in the middle of a stream, `status-429` answers with that status, and so on.
`GET /seen` tells how many requests came for each model.
"""

import collections
import http.server
import json
import struct
import socket
import threading

TOKENS = ["The ", "parcel ", "left ", "the ", "depot ", "today."]
TEXT = "".join(TOKENS)
CALLS = [("call_1", "get_order", '{"id": "W1"}'), ("call_2", "get_stock", '{"id": "S2"}')]
TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error",
         429: "rate_limit_error", 500: "api_error", 503: "overloaded_error",
         529: "overloaded_error"}
# What the two agents of the graph say to each other.
RESEARCHER = ("Order W4482139 was held at the Rotterdam terminal since Tuesday because the "
              "consignee's EORI number on the customs form does not match the commercial invoice.")
WRITER = "Dear Ms. Okafor, please send us the corrected number, then we release your order."
SAYS = {"researcher": RESEARCHER, "writer": WRITER, "structured": '{"city":"Paris","people":2}'}

seen = collections.Counter()
lock = threading.Lock()


def images(value):
    """How many images a request refers to, wherever they stand."""
    if isinstance(value, dict):
        here = value.get("type") in ("image_url", "input_image", "image")
        return here + sum(map(images, value.values()))
    return sum(map(images, value)) if isinstance(value, list) else 0


def event(data, name=None):
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def chunk(delta, finish=None):
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                  "model": "m", "choices": [{"index": 0, "delta": delta,
                                             "finish_reason": finish}]})


class Chat:
    @staticmethod
    def plain(text, calls):
        message = {"role": "assistant", "content": None if calls else text}
        if calls:
            message["tool_calls"] = [{"id": id, "type": "function", "function":
                                      {"name": name, "arguments": args}}
                                     for id, name, args in CALLS]
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "message": message,
                             "finish_reason": "tool_calls" if calls else "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}}

    @staticmethod
    def begin(tokens):
        yield chunk({"role": "assistant", "content": ""})
        for token in tokens:
            yield chunk({"content": token})

    @staticmethod
    def calls():
        yield chunk({"role": "assistant", "content": None})
        for index, (id, name, args) in enumerate(CALLS):
            yield chunk({"tool_calls": [{"index": index, "id": id, "type": "function",
                                         "function": {"name": name, "arguments": ""}}]})
            for part in (args[:5], args[5:]):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        yield chunk({}, "tool_calls") + Chat.mark()

    @staticmethod
    def end(text):
        yield chunk({}, "stop")
        yield event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                     "model": "m", "choices": [],
                     "usage": {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}})
        yield Chat.mark()

    @staticmethod
    def mark():
        return event("[DONE]")


class Responses:
    number = 0

    @classmethod
    def say(cls, kind, **rest):
        cls.number += 1
        return event({"type": kind, "sequence_number": cls.number, **rest}, kind)

    @staticmethod
    def plain(text, calls, status="completed"):
        output = [{"id": f"fc_{id}", "type": "function_call", "status": "completed",
                   "call_id": id, "name": name, "arguments": args} for id, name, args in CALLS]
        if not calls:
            output = [{"id": "msg_1", "type": "message", "role": "assistant", "status": status,
                       "content": [{"type": "output_text", "text": text, "annotations": []}]}]
        return {"id": "resp_1", "object": "response", "created_at": 1, "model": "m",
                "status": status, "output": output if status == "completed" else [],
                "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None,
                "incomplete_details": None, "instructions": None, "metadata": {},
                "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 0},
                          "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 0},
                          "total_tokens": 15}}

    @classmethod
    def begin(cls, tokens):
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress",
                "content": []}
        part = {"type": "output_text", "text": "", "annotations": []}
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        yield cls.say("response.created", response=cls.plain("", False, "in_progress"))
        yield cls.say("response.output_item.added", output_index=0, item=item)
        yield cls.say("response.content_part.added", part=part, **place)
        for token in tokens:
            yield cls.say("response.output_text.delta", delta=token, logprobs=[], **place)

    @classmethod
    def calls(cls):
        yield cls.say("response.created", response=cls.plain("", True, "in_progress"))
        for index, item in enumerate(cls.plain("", True)["output"]):
            place = {"item_id": item["id"], "output_index": index}
            begun = {**item, "arguments": "", "status": "in_progress"}
            yield cls.say("response.output_item.added", output_index=index, item=begun)
            yield cls.say("response.function_call_arguments.delta", delta=item["arguments"],
                          **place)
            yield cls.say("response.function_call_arguments.done", name=item["name"],
                          arguments=item["arguments"], **place)
            yield cls.say("response.output_item.done", output_index=index, item=item)
        yield cls.say("response.completed", response=cls.plain("", True))

    @classmethod
    def end(cls, text):
        whole = cls.plain(text, False)
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        yield cls.say("response.output_text.done", text=text, logprobs=[], **place)
        yield cls.say("response.output_item.done", output_index=0, item=whole["output"][0])
        yield cls.say("response.completed", response=whole)

    @staticmethod
    def mark():
        return event("[DONE]")


class Messages:
    @staticmethod
    def say(kind, **rest):
        return event({"type": kind, **rest}, kind)

    @staticmethod
    def plain(text, calls):
        content = [{"type": "tool_use", "id": id, "name": name, "input": json.loads(args)}
                   for id, name, args in CALLS]
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": content if calls else [{"type": "text", "text": text}],
                "stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": 9, "output_tokens": 6}}

    @classmethod
    def start(cls):
        message = {**cls.plain("", False), "content": [], "stop_reason": None}
        return cls.say("message_start", message=message)

    @classmethod
    def begin(cls, tokens):
        yield cls.start()
        yield cls.say("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for token in tokens:
            yield cls.say("content_block_delta", index=0,
                          delta={"type": "text_delta", "text": token})

    @classmethod
    def calls(cls):
        yield cls.start()
        for index, (id, name, args) in enumerate(CALLS):
            block = {"type": "tool_use", "id": id, "name": name, "input": {}}
            yield cls.say("content_block_start", index=index, content_block=block)
            for part in (args[:5], args[5:]):
                yield cls.say("content_block_delta", index=index,
                              delta={"type": "input_json_delta", "partial_json": part})
            yield cls.say("content_block_stop", index=index)
        yield cls.stop("tool_use") + cls.mark()

    @classmethod
    def end(cls, text):
        yield cls.say("content_block_stop", index=0)
        yield cls.stop("end_turn")
        yield cls.mark()

    @classmethod
    def stop(cls, reason):
        return cls.say("message_delta", delta={"stop_reason": reason, "stop_sequence": None},
                       usage={"output_tokens": 6})

    @classmethod
    def mark(cls):
        return cls.say("message_stop")


ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

# The end of a stream after its six tokens: what is sent, and whether the stream then ends cleanly.
FAULTS = {
    "eof": lambda wire: ("", True),
    "cut": lambda wire: ("", False),
    "half": lambda wire: ('data: {"a": ', True),
    "mark": lambda wire: (wire.mark(), True),
    "bare-error": lambda wire: (event({"error": ERROR["error"]}), True),
    "error": lambda wire: (event(ERROR, "error"), True),
    "malformed": lambda wire: (event('{"a": ', "x"), True),
}
WIRES = {"/v1/chat/completions": Chat, "/v1/responses": Responses, "/v1/messages": Messages}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("content-type", "application/json"), *headers]:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with lock:
            self.answer(200, dict(seen) if self.path == "/seen" else {"data": []})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        scenario = request["model"]
        with lock:
            seen[scenario] += 1
        wire = next(WIRES[end] for end in WIRES if self.path.split("?")[0].endswith(end))
        if scenario.startswith("status-"):
            status = int(scenario.split("-")[1])
            error = {"type": TYPES[status], "message": f"the upstream says {status}"}
            return self.answer(status, {"type": "error", "error": error})
        if scenario == "error-200":
            return self.answer(200, ERROR)
        if scenario == "cut-plain":
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b'{"id": "chatcmpl-1", ')
            self.close_connection = True
            return None
        text = SAYS.get(scenario, TEXT)
        if scenario == "image":
            text = f"{images(request)} image"
        calls = scenario == "calls"
        if not request.get("stream"):
            return self.answer(200, wire.plain(text, calls))
        return self.stream(wire, scenario, text, calls)

    def stream(self, wire, scenario, text, calls):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if calls:
            for block in wire.calls():
                self.piece(block)
            return self.wfile.write(b"0\r\n\r\n")
        tokens = TOKENS if text == TEXT else [text]
        for block in wire.begin(tokens):
            self.piece(block)
        if scenario not in FAULTS:
            for block in wire.end(text):
                self.piece(block)
            return self.wfile.write(b"0\r\n\r\n")
        last, clean = FAULTS[scenario](wire)
        if last:
            self.piece(last)
        if clean:
            return self.wfile.write(b"0\r\n\r\n")
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        return None

    def piece(self, text):
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
