"""A real HTTP server with the chat completions API, whose answers a test writes."""

import json
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import pytest
from http_servers import ForgivingServer, serving


class ChatServer(ForgivingServer):
    """Answers with `answer(messages)`: a text, or (status, body, headers)."""

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.requests, self.times, self.keys = answer, [], [], []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def prompts(self):
        """What users asked, in order."""
        return [request["messages"][-1]["content"] for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        assert self.path == "/v1/chat/completions"
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(body)
        self.server.times.append(time.monotonic())
        self.server.keys.append(self.headers.get("authorization"))
        found = self.server.answer(body["messages"])
        if isinstance(found, str):
            choice = {"message": {"role": "assistant", "content": found}, "finish_reason": "stop"}
            found = 200, {"choices": [choice]}, {}
        status, content, headers = found
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": len(data)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def chat_server():
    """Start a server of answers."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(ChatServer(answer)))
