"""What a user would otherwise do with the same GGUF: llama.cpp's own server used well, and llama-cpp-python one by one.

Both are asked the very prompts that the engine asks, as tokens, so that no peer pays for another template or tokenizer.
"""

import contextlib
import http.client
import importlib
import importlib.util
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp.llama_grammar import LlamaGrammar

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.domain.fields import object_schema
from pipeline.domain.steps import Choice, Record, Step
from pipeline.prompts import ANSWER_KEY, OBJECT_WORDS, Question, question_of
from tests.bench.engine_tasks import Task

START_S = 120
ANSWER_TOKENS = 96
FAVOUR = 100.0
"""Logit bias that leaves only the named tokens."""


def peer_schema(form: Record) -> dict[str, Any]:
    """Return a record's JSON schema with patterns as the job has them: the converters know no other groups."""
    schema = object_schema(form.as_dict())
    for name, spec in form.fields:
        if spec.pattern is not None and spec.type == "string":
            schema["properties"][name] = {
                "anyOf": [{"type": "string", "pattern": f"^{spec.pattern}$"}, {"type": "null"}]
            }
    return schema


class Prompts:
    """Questions as tokens, and the tokens that tell an answer."""

    def __init__(self, engine: LlamaEngine) -> None:
        """Borrow the vocabulary and template of a loaded engine."""
        self._engine = engine

    def tokens(self, question: Question, text: str) -> list[int]:
        """Return the whole prompt."""
        asked = self._asked(question)
        return [*asked.prompt.prefix, *self._engine._vocab.plain(asked.prompt.lead + text), *asked.prompt.suffix]

    def first_tokens(self, question: Question) -> dict[int, str] | None:
        """Return first token → label; None where labels share one, so that a single token does not tell."""
        assert isinstance(question.form, Choice)
        asked = self._asked(question)
        found = {
            self._engine._template.answer_tokens(asked.prompt, question.continued(option))[0]: option
            for option in question.form.options
        }
        return found if len(found) == len(question.form.options) else None

    def _asked(self, question: Question) -> Any:  # noqa: ANN401
        assert self._engine._questions is not None
        return self._engine._questions.get(question)


class Server:
    """One llama-server on loopback."""

    def __init__(self, binary: Path, model: Path, *, slots: int, threads: int, cells: int, folder: Path) -> None:
        """Start it and wait until it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.slots = slots
        command = [str(binary), "-m", str(model), "--host", "127.0.0.1", "--port", str(self.port), "-ngl", "0"]
        command += ["-t", str(threads), "-tb", str(threads), "-np", str(slots), "--kv-unified", "-c", str(cells)]
        command += ["-b", "2048", "-ub", "512"]
        env = {**os.environ, "LD_LIBRARY_PATH": str(binary.parent)}
        self._log = (folder / f"server-{slots}.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=env)
        self._connections: dict[int, http.client.HTTPConnection] = {}
        until = time.monotonic() + START_S
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > until:
                msg = f"llama-server did not start: see {self._log.name}"
                raise RuntimeError(msg)
            time.sleep(0.1)

    def _is_up(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False

    def close(self) -> None:
        """End it."""
        self._hang_up()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _hang_up(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def complete_all(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Ask all, as many at once as there are slots; answers in order."""
        self._hang_up()  # the server ends connections that were idle for five seconds
        free = list(range(self.slots))
        with ThreadPoolExecutor(self.slots) as pool:

            def ask(body: Mapping[str, Any]) -> dict[str, Any]:
                slot = free.pop()
                try:
                    return self._complete({**body, "id_slot": slot}, slot)
                finally:
                    free.append(slot)

            return list(pool.map(ask, bodies))

    def _complete(self, body: Mapping[str, Any], slot: int) -> dict[str, Any]:
        if slot not in self._connections:
            self._connections[slot] = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection = self._connections[slot]
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        data: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            msg = f"llama-server answered {response.status}: {str(data)[:200]}"
            raise RuntimeError(msg)
        return data


def server_bodies(prompts: Prompts, question: Question, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return one request a text: a single token where that tells the label, a grammar or a schema elsewhere."""
    common: dict[str, Any] = {"temperature": 0, "top_k": 1, "cache_prompt": True, "samplers": ["top_k"]}
    if isinstance(question.form, Record):
        schema = peer_schema(question.form)
        common |= {"json_schema": schema, "n_predict": ANSWER_TOKENS}
    elif (first := prompts.first_tokens(question)) is not None:
        common |= {"n_predict": 1, "logit_bias": [[token, FAVOUR] for token in first]}
    else:
        ways = " | ".join(json.dumps(option, ensure_ascii=False) for option in question.form.options)
        common |= {"n_predict": 24, "grammar": f"root ::= {ways}"}
    return [{**common, "prompt": prompts.tokens(question, text)} for text in texts]


def server_answers(question: Question, found: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Read the server's answers: labels, or objects."""
    if isinstance(question.form, Record):
        return [_loaded(one["content"]) for one in found]
    return [_label(question.form.options, str(one["content"])) for one in found]


def _label(options: Sequence[str], written: str) -> str | None:
    """Return the label that begins with what was written."""
    exact = [option for option in options if option == written.strip()]
    begun = [option for option in options if written.strip() and option.startswith(written.strip())]
    return next(iter(exact or begun), None)


def _loaded(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except ValueError:  # cut off
        return None


@contextlib.contextmanager
def serving(binary: Path, model: Path, *, slots: int, threads: int, cells: int, folder: Path) -> Iterator[Server]:
    """Run a server for a while."""
    server = Server(binary, model, slots=slots, threads=threads, cells=cells, folder=folder)
    try:
        yield server
    finally:
        server.close()


def by_server(server: Server, prompts: Prompts, task: Task) -> tuple[dict[str, list[Any]], float]:
    """Ask all steps one after another; returns answers by step and the seconds it took."""
    bodies = {step.name: server_bodies(prompts, question_of(step), task.texts) for step in task.steps}
    started = time.perf_counter()
    found = {name: server.complete_all(asked) for name, asked in bodies.items()}
    seconds = time.perf_counter() - started
    return {step.name: server_answers(question_of(step), found[step.name]) for step in task.steps}, seconds


def has_decidr() -> bool:
    """Tell whether the decision scorer `decidr` is installed."""
    return importlib.util.find_spec("decidr") is not None


def by_decidr(server: Server, task: Task) -> tuple[dict[str, list[Any]], float]:
    """Ask through decidr, a client that reads one token's log-probabilities, as many at once as there are slots."""
    decidr: Any = importlib.import_module("decidr")
    backend = decidr.OpenAIBackend(api_key="none", base_url=f"http://127.0.0.1:{server.port}/v1")
    client = decidr.Client("local", backend=backend)

    def decide(step: Step, text: str) -> str | None:
        question = question_of(step)
        assert isinstance(question.form, Choice)
        row = {
            "id": "item",
            "state": text,
            "question": question.system,
            "options": [{"id": option, "description": option} for option in question.form.options],
        }
        try:
            return str(client.decide(row).choice)
        except Exception:  # noqa: BLE001 — whatever it cannot decide is a wrong answer of its
            return None

    started = time.perf_counter()
    with ThreadPoolExecutor(server.slots) as pool:
        found = {step.name: list(pool.map(partial(decide, step), task.texts)) for step in task.steps}
    return found, time.perf_counter() - started


def joint_question(steps: Sequence[Step]) -> tuple[str, dict[str, Any]]:
    """Put several steps as one: instructions, and the schema of one JSON answer to all."""
    asked, properties = [], {}
    for step in steps:
        question = question_of(step)
        words = question.system.replace(OBJECT_WORDS, "Its value is the label")
        asked.append(f'"{step.name}": {words}')
        if isinstance(question.form, Record):
            properties[step.name] = peer_schema(question.form)
        else:
            properties[step.name] = {"type": "string", "enum": list(question.form.options)}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return "Answer all of these about a text in one JSON object, in this order.\n\n" + "\n\n".join(asked), schema


def by_joint_answer(server: Server, engine: LlamaEngine, task: Task) -> tuple[dict[str, list[Any]], float]:
    """Ask all steps at once in one JSON answer."""
    system, schema = joint_question(task.steps)
    vocab = engine._vocab
    frame = engine._template.render([{"role": "system", "content": "\ue000"}, {"role": "user", "content": "\ue001"}])
    head, rest = frame.split("\ue000")
    middle, tail = rest.split("\ue001")
    before = vocab.framed([(head, True), (system, False), (middle, True)])
    bodies = [
        {
            "prompt": [*before, *vocab.framed([(f"Text: {text}\n\nJSON:", False), (tail, True)])],
            "json_schema": schema,
            "n_predict": 2 * ANSWER_TOKENS,
            "temperature": 0,
            "top_k": 1,
            "samplers": ["top_k"],
            "cache_prompt": True,
        }
        for text in task.texts
    ]
    started = time.perf_counter()
    found = [_loaded(one["content"]) or {} for one in server.complete_all(bodies)]
    seconds = time.perf_counter() - started
    return {step.name: [one.get(step.name) for one in found] for step in task.steps}, seconds


class OneByOne:
    """llama-cpp-python's create_chat_completion, one text after another, with a grammar or a JSON schema."""

    def __init__(self, model: Path, *, threads: int, context_tokens: int = 4096) -> None:
        """Load the model."""
        self._llm = llama_cpp.Llama(
            str(model), n_ctx=context_tokens, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def close(self) -> None:
        """Give the memory back."""
        self._llm.close()

    def answers(self, task: Task) -> tuple[dict[str, list[Any]], float]:
        """Ask every step of every text."""
        started = time.perf_counter()
        found = {step.name: [self._ask(question_of(step), text) for text in task.texts] for step in task.steps}
        return found, time.perf_counter() - started

    def _ask(self, question: Question, text: str) -> Any:  # noqa: ANN401
        messages: list[Any] = [{"role": "system", "content": question.system}]
        for asked, answered in question.shots:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        messages.append({"role": "user", "content": question.framed(text)})
        extra: dict[str, Any]
        if isinstance(question.form, Record):
            schema = peer_schema(question.form)
            extra = {"response_format": {"type": "json_object", "schema": schema}, "max_tokens": ANSWER_TOKENS}
        else:
            written = [json.dumps({ANSWER_KEY: option}, ensure_ascii=False) for option in question.form.options]
            ways = " | ".join(json.dumps(one, ensure_ascii=False) for one in written)
            grammar = LlamaGrammar.from_string(f"root ::= {ways}", verbose=False)
            extra = {"grammar": grammar, "max_tokens": 24}
        reply: Any = self._llm.create_chat_completion(messages=messages, temperature=0.0, **extra)
        content = reply["choices"][0]["message"]["content"] or ""
        if isinstance(question.form, Record):
            return _loaded(content)
        return (_loaded(content) or {}).get(ANSWER_KEY)
