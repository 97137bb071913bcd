"""Two endpoints on loopback: a real OpenAI-compatible server with a real model, and a scripted one for faults."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

START_S = 120
REQUEST_S = 100
N_CTX = 4096


@dataclass(frozen=True, kw_only=True)
class OpenAIServer:
    """Where the real server listens, and its key."""

    base_url: str
    api_key: str = field(repr=False)

    def tokens_of(self, text: str) -> list[int]:
        """Tokenise as the server does with chats: control tokens recognised everywhere."""
        tokens: list[int] = self._asked("/extras/tokenize", {"input": text})["tokens"]
        return tokens

    def is_up(self) -> bool:
        """Say whether it answers."""
        try:
            self._asked("/v1/models", None)
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _asked(self, path: str, body: object) -> Any:  # noqa: ANN401 — JSON
        url = self.base_url.removesuffix("/v1") + path
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"}
        asked = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 — our own loopback address
        with urllib.request.urlopen(asked, timeout=REQUEST_S) as answer:  # noqa: S310 — our own loopback address
            return json.load(answer)


@contextmanager
def serving(model: Path, log: Path) -> Iterator[OpenAIServer]:
    """Start llama-cpp-python's server on a free port, wait until it answers, and end it afterwards.

    Its settings come from the environment too (HOST, PORT, MODEL …), so it gets none but what it needs; the key goes
    that way and not over the command line.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = OpenAIServer(base_url=f"http://127.0.0.1:{port}/v1", api_key=secrets.token_hex(16))
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    command = [
        sys.executable,
        "-m",
        "llama_cpp.server",
        "--model",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--n_ctx", str(N_CTX), "--n_threads", "2", "--n_threads_batch", "2", "--verbose", "false"]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env={**env, "API_KEY": server.api_key}, stdout=output, stderr=output) as process,
    ):
        try:
            _wait(server, process, log)
            yield server
        finally:
            process.kill()


def _wait(server: OpenAIServer, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(START_S * 5):
        if server.is_up():
            return
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    msg = f"the OpenAI-compatible server did not start: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(msg)


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """One answer of the scripted server."""

    status: int = 200
    body: object = None
    """Sent as JSON; bytes are sent as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    """Never answer, until the server is ended."""


@dataclass(kw_only=True)
class ScriptedServer:
    """An endpoint that answers a list of things in turn, the last one for ever, and keeps what it was sent."""

    script: Sequence[Scripted]
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    base_url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, path: str, headers: dict[str, str], body: bytes) -> Scripted:
        """Keep a request and choose its answer."""
        with self._lock:
            number = min(len(self.received), len(self.script) - 1)
            self.received.append(json.loads(body))
            self.headers.append(headers)
            self.paths.append(path)
            return self.script[number]


@contextmanager
def scripted(*script: Scripted) -> Iterator[ScriptedServer]:
    """Serve the script over real HTTP on a free port of 127.0.0.1."""
    state = ScriptedServer(script=script)
    ending = threading.Event()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = state.next(self.path, dict(self.headers), body)
            if answer.hang:
                ending.wait()
                self.close_connection = True
                return
            raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the inherited name
            pass

    with served(Answering, ending) as state.base_url:
        yield state


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], ending: threading.Event) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1, yielding the endpoint's address; `ending` is set when it is over."""
    # Says nothing of clients that are killed while they are answered.
    quiet: type[ThreadingHTTPServer] = type("Quiet", (ThreadingHTTPServer,), {"handle_error": lambda *_: None})
    with quiet(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            ending.set()
            server.shutdown()
            thread.join()


def completion(content: str | None, **parts: Any) -> Scripted:  # noqa: ANN401 — JSON
    """Return a well-formed chat completion with this content; `parts` replace members of its choice or of itself."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model",
        "choices": [choice],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }
    for name, value in parts.items():
        (choice if name in {"finish_reason", "message", "logprobs"} else body)[name] = value
    return Scripted(body=body)


def refusal(status: int, message: str, *, code: str | None = None, param: str | None = None) -> Scripted:
    """Return an error in the API's form."""
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": param}
    return Scripted(status=status, body={"error": error})
