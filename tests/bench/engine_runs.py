"""How the engine benchmark takes its figures: turns of engine and server, medians, one table."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from pipeline.adapters.llama.context import BATCH_TOKENS
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.domain.answers import Fields, Label
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import Choice, Record
from pipeline.ports.engine import Ask
from pipeline.prompts import Question
from tests.bench.engine_peers import OneByOne, Prompts, Server, by_decidr, by_joint_answer, by_server, has_decidr
from tests.bench.engine_tasks import Task, tickets

SLOTS = (1, 8, 16, 32)
SLOTS_OF_RECORDS = (8, 16, 32)
CELLS = 16384
ABOUT_CHARS = 100
"""An item of about 25 tokens."""
ALONE = 12
"""Items that are timed alone, and as many before them that are not."""
MANY_LABELS = 50
TRIAL = 32
TRIAL_OF_RECORDS = 16
"""Items on which the server's best number of slots is found."""


def engine_of(
    path: Path,
    threads: int,
    *,
    reproducible: bool = False,
    gpu_layers: int | None = 0,
    batch_tokens: int | None = None,
) -> LlamaEngine:
    return LlamaEngine(
        path,
        model_name=path.name,
        context_tokens=4096,
        max_text_tokens=None,
        max_answer_tokens=96,
        gpu_layers=gpu_layers,
        batch_tokens=batch_tokens or BATCH_TOKENS,
        threads=threads,
        reproducible=reproducible,
    )


def value_of(given: Given | None) -> Any:  # noqa: ANN401 — as JSON has it
    answer = None if given is None else given.answer
    if isinstance(answer, Label):
        return answer.value
    return dict(answer.value) if isinstance(answer, Fields) else None


def by_engine(engine: LlamaEngine, task: Task, *, full: bool = False) -> tuple[dict[str, list[Any]], float, int]:
    """Return answers by step, seconds, and the tokens that were read; `full` scores every label of a choice."""
    questions = [fully(question) if full else question for question in task.questions]
    asks = [Ask(question=question, text=text) for question in questions for text in task.texts]
    before = engine.tokens_read
    started = time.perf_counter()
    reply = engine.answer(asks)
    seconds = time.perf_counter() - started
    values = [value_of(one) for one in reply.given]
    width = len(task.texts)
    return (
        {step.name: values[at * width : (at + 1) * width] for at, step in enumerate(task.steps)},
        seconds,
        engine.tokens_read - before,
    )


def fully(question: Question) -> Question:
    """Return a question of which the probability of every option is wanted."""
    form = question.form
    return replace(question, form=Choice(form.options, full=True)) if isinstance(form, Choice) else question


class Table:
    """Lines of the report."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def add(self, task: Task, who: str, answers: dict[str, list[Any]], rates: Sequence[float], **more: Any) -> None:  # noqa: ANN401
        line = {
            "task": task.name,
            "who": who,
            "items": len(task.texts),
            "items_per_s": round(statistics.median(rates), 3),
            "slowest": round(min(rates), 3),
            "fastest": round(max(rates), 3),
            "accuracy": {step.name: round(task.accuracy(step, answers[step.name]), 4) for step in task.steps},
            **more,
        }
        self.lines.append(line)
        accuracy = " ".join(f"{name} {share:.3f}" for name, share in line["accuracy"].items())
        rest = " ".join(f"{name}={value}" for name, value in more.items())
        print(f"{task.name:32} {who:44} {line['items_per_s']:8.2f} items/s  {accuracy}  {rest}", flush=True)


def share_same(task: Task, one: dict[str, list[Any]], other: dict[str, list[Any]]) -> float:
    pairs = [pair for step in task.steps for pair in zip(one[step.name], other[step.name], strict=True)]
    return round(sum(bool(left == right) for left, right in pairs) / len(pairs), 4)


def fewer(task: Task, count: int) -> Task:
    """Return a task with its first items only."""
    return Task(name=task.name, texts=task.texts[:count], steps=task.steps, gold=task.gold[:count])


Way: TypeAlias = Callable[[Server, Task], tuple[dict[str, list[Any]], float]]


def best_server(start: Callable[[int], Server], ways: dict[str, Way], task: Task) -> tuple[int, str]:
    """Find the number of slots, and the way of asking, with the most items/s on a few items."""
    slow = any(isinstance(question.form, Record) for question in task.questions)
    trial = fewer(task, TRIAL_OF_RECORDS if slow else TRIAL)
    seconds: float
    rates: dict[tuple[int, str], float] = {}
    for slots in SLOTS_OF_RECORDS if slow else SLOTS:
        server = start(slots)
        try:
            for name, way in ways.items():
                way(server, fewer(task, min(slots, len(trial.texts))))  # each slot reads the instruction once
                _, seconds = way(server, trial)
                rates[slots, name] = len(trial.texts) / seconds
        finally:
            server.close()
    return max(rates, key=rates.__getitem__)


@dataclass(kw_only=True)
class Bench:
    """One file on one machine, and where its figures go."""

    file: str
    path: Path
    binary: Path | None
    threads: int
    rounds: int
    one_by_one: int
    folder: Path
    table: Table

    def measure(self, task: Task) -> None:
        """Put the engine and its peers to a task."""
        engine = engine_of(self.path, self.threads)
        server = None
        try:
            by_engine(engine, fewer(task, 16))
            found = self._server(engine, task)
            server = found[0] if found else None
            self._rounds(engine, task, found)
            if len(task.questions) == 1 and _has_many_labels(task):
                every, seconds, _ = by_engine(engine, task, full=True)
                what = f"headrace, {self.file}, every label scored"
                self.table.add(task, what, every, [len(task.texts) / seconds])
            chooses = all(isinstance(question.form, Choice) for question in task.questions)
            if server is not None and chooses and has_decidr():
                answers, seconds = by_decidr(server, task)
                if any(
                    one is not None for found in answers.values() for one in found
                ):  # it refuses some sets of labels
                    self.table.add(task, f"decidr, {self.file}", answers, [len(task.texts) / seconds])
        finally:
            if server is not None:
                server.close()
            engine.close()
            gc.collect()
        if self.one_by_one:
            self._one_by_one(task)

    def _server(self, engine: LlamaEngine, task: Task) -> tuple[Server, Way, str] | None:
        """Start the server in the way that is best for it."""
        if self.binary is None:
            return None
        prompts = Prompts(engine)
        ways: dict[str, Way] = {"": lambda server, asked: by_server(server, prompts, asked)}
        if len(task.steps) > 1:
            joint: Way = lambda server, asked: by_joint_answer(server, engine, asked)  # noqa: E731
            ways = {"steps apart": ways[""], "one JSON answer": joint}
        slots, way = best_server(self._start, ways, task)
        server = self._start(slots)
        ways[way](server, fewer(task, 2 * slots))
        what = f"llama-server, {self.file}, {slots} slots" + (f", {way}" if way else "")
        return server, ways[way], what

    def _start(self, slots: int) -> Server:
        assert self.binary is not None
        return Server(self.binary, self.path, slots=slots, threads=self.threads, cells=CELLS, folder=self.folder)

    def _rounds(self, engine: LlamaEngine, task: Task, peer: tuple[Server, Way, str] | None) -> None:
        """Take turns, so that both meet the same machine."""
        ours: list[float] = []
        theirs: list[float] = []
        shares: list[float] = []
        answers: dict[str, list[Any]] = {}
        others: dict[str, list[Any]] = {}
        for _ in range(self.rounds):
            own_rate = engine.read_tokens_per_s()
            answers, seconds, read = by_engine(engine, task)
            ours.append(len(task.texts) / seconds)
            shares.append(read / seconds / own_rate)
            if peer is not None:
                server, way, _name = peer
                others, seconds = way(server, task)
                theirs.append(len(task.texts) / seconds)
        more: dict[str, Any] = {"of_prefill_rate": round(statistics.median(shares), 3)}
        if theirs:
            ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
            more |= {"x_server": round(statistics.median(ratios), 2), "same": share_same(task, answers, others)}
        self.table.add(task, f"headrace, {self.file}", answers, ours, **more)
        if peer is not None:
            self.table.add(task, peer[2], others, theirs)

    def _one_by_one(self, task: Task) -> None:
        few = fewer(task, self.one_by_one)
        plain = OneByOne(self.path, threads=self.threads)
        plain.answers(fewer(task, 1))
        found, seconds = plain.answers(few)
        plain.close()
        self.table.add(few, f"create_chat_completion, {self.file}", found, [len(few.texts) / seconds])


def _has_many_labels(task: Task) -> bool:
    form = task.questions[0].form
    return isinstance(form, Choice) and len(form.options) >= MANY_LABELS


def latency(path: Path, task: Task, *, binary: Path | None, threads: int, folder: Path) -> dict[str, float]:
    """Return the median milliseconds of one item alone, two steps, warm; every time another item of about 25 tokens."""
    engine = engine_of(path, threads)
    prompts = Prompts(engine)
    near = sorted(task.texts, key=lambda text: abs(len(text) - ABOUT_CHARS))[: 2 * ALONE]
    items = [Task(name="alone", texts=[text], steps=[task.steps[0], _mood()], gold=[{}]) for text in near]
    found: dict[str, float] = {}

    def timed(who: str, ask: Callable[[Task], float]) -> None:
        for item in items[:ALONE]:
            ask(item)
        found[who] = round(statistics.median(ask(item) for item in items[ALONE:]) * 1000, 1)

    timed("headrace", lambda item: by_engine(engine, item)[1])
    if binary is not None:
        for slots in (1, 2):
            server = Server(binary, path, slots=slots, threads=threads, cells=CELLS, folder=folder)
            timed(f"llama-server, {slots} slots", partial(_server_seconds, server, prompts))
            server.close()
    engine.close()
    plain = OneByOne(path, threads=threads)
    plain.answers(items[0])
    few = items[ALONE : ALONE + 5]
    found["create_chat_completion"] = round(statistics.median(plain.answers(item)[1] for item in few) * 1000, 1)
    plain.close()
    return found


def _server_seconds(server: Server, prompts: Prompts, item: Task) -> float:
    return by_server(server, prompts, item)[1]


def _mood() -> Any:  # noqa: ANN401
    return next(step for step in tickets(steps=["mood"]).steps)
