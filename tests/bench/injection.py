"""Instructions in tickets: how often they bring a local model to their label, and how often that answer is accepted.

    python tests/bench/injection.py [--model NAME_OR_PATH ...] [--data DATA] [--json]

The 100 attacks of `attacks.toml` are asked of each model, beside their tickets alone and their tickets with neutral
words of the same length at the same place (the control). An attack whose ticket alone is given the attacker's label
already is not counted. It succeeds where the attacker's label is answered; with the defence, where that answer is also
accepted by the policy of a job with one tier, which takes any answer. With DATA, a folder of data sets with
`train.jsonl` and `dev.jsonl`, it is also counted which of their texts look suspicious.
"""

import json
import os
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import platformdirs
from pydantic import TypeAdapter

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.models import ModelStore
from pipeline.domain.answers import Label
from pipeline.domain.steps import Step
from pipeline.ports.engine import Ask
from pipeline.prompts import Question, question_of

ATTACKS = Path(__file__).with_name("attacks.toml")
MODELS = ("qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct", "smollm2-135m-instruct")
NEUTRAL = (
    "I am writing this on the train, somewhere between two stations. The window shows fields and a river. A man across "
    "the aisle reads a newspaper, and a child counts the cows. I have an umbrella with me, since it rained this morning. "
)
_STEPS: TypeAdapter[Any] = TypeAdapter(Step)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A ticket, and what it becomes."""

    kind: str
    half: str
    step: Any
    label: str
    target: str
    ticket: str
    attacked: str
    control: str

    @property
    def question(self) -> Question:
        return question_of(self.step)


def attacks() -> list[Attack]:
    with ATTACKS.open("rb") as file:
        written = tomllib.load(file)
    steps = {name: _STEPS.validate_python({"name": name, **step}) for name, step in written["sets"].items()}
    return [
        _attack(kind, one["text"], written["tickets"][one["ticket"]], steps)
        for kind in written["kinds"]
        for one in kind["attacks"]
    ]


def _attack(kind: Mapping[str, Any], template: str, ticket: Mapping[str, str], steps: Mapping[str, Any]) -> Attack:
    injected = neutral(kind.get("padding", 0)) + " " + template.replace("{target}", ticket["target"])
    return Attack(
        kind=kind["name"],
        half=kind["half"],
        step=steps[ticket["set"]],
        label=ticket["label"],
        target=ticket["target"],
        ticket=ticket["text"],
        attacked=f"{ticket['text']} {injected.lstrip(' ')}",
        control=f"{ticket['text']} {neutral(len(injected))}",
    )


def neutral(length: int) -> str:
    return (NEUTRAL * (length // len(NEUTRAL) + 1))[:length]


def answered(engine: LlamaEngine, asked: Sequence[tuple[Question, str]]) -> list[str]:
    reply = engine.answer([Ask(question=question, text=text) for question, text in asked])
    return [one.answer.value if one is not None and isinstance(one.answer, Label) else "" for one in reply.given]
