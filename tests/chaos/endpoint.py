"""An OpenAI-compatible endpoint whose answers depend on the text alone, and which can be made to fail in every way."""

import json
import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.integration.openai_server import served

_TEXT = re.compile(r"service \d+ answered request \d+ slowly")
LABELS = ("negative", "neutral", "positive")


def label_of(text: str) -> str:
    """Return what the endpoint says of a text."""
    return LABELS[zlib.crc32(text.encode()) % len(LABELS)]


@dataclass(kw_only=True)
class Endpoint:
    """What it was asked, and how it behaves now."""

    base_url: str = ""
    mode: str = "well"
    completed: Counter[str] = field(default_factory=Counter)
    """Text → how often it was answered, and so charged."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def repeats(self) -> int:
        """Completions beyond one for each text."""
        with self._lock:
            return sum(self.completed.values()) - len(self.completed)

    def complete(self, text: str) -> bytes:
        with self._lock:
            self.completed[text] += 1
        content = json.dumps({"answer": label_of(text)})
        return json.dumps(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "served",
                "choices": [
                    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
                ],
                "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
            }
        ).encode()


# mode → status, headers, body; what hangs or breaks off is below
_FAILING = {
    "429 with Retry-After": (429, {"Retry-After": "1"}, {"error": {"message": "slow down"}}),
    "quota spent": (429, {}, {"error": {"message": "no money left", "code": "insufficient_quota"}}),
    "500": (500, {}, {"error": {"message": "oh no"}}),
    "wrong model name": (404, {}, {"error": {"message": "no such model", "code": "model_not_found"}}),
    "credentials revoked": (401, {}, {"error": {"message": "who are you?", "code": "invalid_api_key"}}),
    "wrong schema": (200, {}, {"result": "yes"}),
    "malformed JSON": (200, {}, None),
}
MODES = (*_FAILING, "hang", "cut stream")


@contextmanager
def serving() -> Iterator[Endpoint]:
    """Serve on a free port of 127.0.0.1."""
    endpoint, ending = Endpoint(), threading.Event()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            mode = endpoint.mode
            if mode == "hang":
                ending.wait(5.0)
                self.close_connection = True
                return
            text = _TEXT.findall(asked["messages"][-1]["content"])[-1]
            if mode == "cut stream":
                body = endpoint.complete(text)
                self._send(200, {"Content-Length": str(len(body))}, body[: len(body) // 2])
                self.close_connection = True
                return
            status, headers, failure = _FAILING.get(mode, (200, {}, None))
            if mode == "well":
                body = endpoint.complete(text)
            else:
                body = b'{"choices": [' if failure is None else json.dumps(failure).encode()
            self._send(status, {**headers, "Content-Length": str(len(body))}, body)

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the inherited name
            pass

    with served(Answering, ending) as endpoint.base_url:
        yield endpoint
