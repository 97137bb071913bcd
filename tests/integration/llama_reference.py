"""The plain way to score labels: llama-cpp-python's high-level class, one item at a time, nothing batched.

It asks the same Questions as the engine, rendered by llama-cpp-python's own chat formatter, and evaluates the whole
prompt anew for every beginning of a label at which labels part. Slow, and short enough to be believed. With `rewind`,
what the prompt before began with is kept, as that class's own completions do: 150 labels would take hours otherwise.
"""

from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from numpy.typing import NDArray

from pipeline.domain.steps import Choice
from pipeline.prompts import Question

_MARK = "\ue0ff"
WHOLE = 512
"""Tokens that are read together at most: all of a short prompt."""


class Reference:
    """One model, one item at a time."""

    def __init__(
        self,
        model: Path,
        *,
        threads: int,
        context_tokens: int = 2048,
        template: str | None = None,
        rewind: bool = False,
    ) -> None:
        """Load the model a second time, through the high-level class; `template` is for a file without one."""
        self._template = template
        self._rewind = rewind
        self._read: list[int] = []
        self._llm = llama_cpp.Llama(
            str(model),
            n_ctx=context_tokens,
            n_batch=WHOLE,
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )
        self._vocab = llama_cpp.llama_model_get_vocab(self._llm.model)
        size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._ends = [token for token in range(size) if self._llm.detokenize([token]).startswith(b'"')]

    def close(self) -> None:
        """Give the memory back."""
        self._llm.close()

    def prompt(self, question: Question, text: str) -> list[int]:
        """Return all tokens of a prompt; the text with the blank before it is tokenised by itself, as plain text."""
        turns = [turn for asked, answered in question.shots for turn in (("user", asked), ("assistant", answered))]
        turns = [("system", question.system), *turns, ("user", question.framed(_MARK))]
        special = {
            name: self._llm.detokenize([token], special=True).decode() if token >= 0 else ""
            for name, token in (("bos", self._llm.token_bos()), ("eos", self._llm.token_eos()))
        }
        formatter = Jinja2ChatFormatter(
            template=self._template or self._llm.metadata["tokenizer.chat_template"],
            bos_token=special["bos"],
            eos_token=special["eos"],
            add_generation_prompt=True,
        )
        messages: list[Any] = [{"role": role, "content": content} for role, content in turns]
        rendered = formatter(messages=messages).prompt + question.opening
        head, tail = rendered.split(_MARK)
        blank = " " if head.endswith(" ") else ""
        return [
            *self._llm.tokenize(head.removesuffix(" ").encode(), add_bos=False, special=True),
            *self._llm.tokenize((blank + text).encode(), add_bos=False, special=False),
            *self._llm.tokenize(tail.encode(), add_bos=False, special=True),
        ]

    def scores(self, question: Question, text: str, *, at_once: int = WHOLE) -> dict[str, float]:
        """Return every label's score by its definition: a product over the places where labels part.

        `at_once`: how many tokens of the prompt are read together.
        """
        assert isinstance(question.form, Choice)
        self._llm.n_batch = at_once
        prompt = self.prompt(question, text)
        labels = {
            label: tuple(self._llm.tokenize(question.continued(label).encode(), add_bos=False, special=False))
            for label in question.form.options
        }
        read: dict[tuple[int, ...], dict[int | None, float]] = {}
        result: dict[str, float] = {}
        for label, tokens in labels.items():
            score = 1.0
            for depth in range(len(tokens) + 1):
                path = tokens[:depth]
                ways = {
                    other[depth] if len(other) > depth else None for other in labels.values() if other[:depth] == path
                }
                if len(ways) > 1:
                    if path not in read:
                        read[path] = self._shares([*prompt, *path], ways)
                    score *= read[path][tokens[depth] if len(tokens) > depth else None]
            result[label] = score
        return result

    def _shares(self, tokens: list[int], ways: set[int | None]) -> dict[int | None, float]:
        kept = self._kept(tokens)
        if not kept:
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._llm.ctx), True)  # noqa: FBT003 — llama.cpp's own signature
        self._llm.n_tokens = kept  # `eval` drops what stands behind this
        self._llm.eval(tokens[kept:])
        self._read = tokens
        pointer = llama_cpp.llama_get_logits_ith(self._llm.ctx, -1)
        logits: NDArray[np.float64] = np.ctypeslib.as_array(pointer, (self._llm.n_vocab(),)).astype(np.float64)
        weights = {way: np.exp(logits[self._ends if way is None else [way]] - logits.max()).sum() for way in ways}
        return {way: float(weight / sum(weights.values())) for way, weight in weights.items()}

    def _kept(self, tokens: list[int]) -> int:
        """Return how many tokens need not be read again; the last one always is."""
        if not self._rewind:
            return 0
        parted = (no for no, (old, new) in enumerate(zip(self._read, tokens, strict=False)) if old != new)
        return min(next(parted, len(self._read)), len(tokens) - 1)
