"""A Question in the model's own words: its chat template rendered, and cut into what all items share and what not."""

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from jinja2.exceptions import TemplateError

from pipeline.adapters.llama.sandbox import BoundedSandbox
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.errors import ModelError
from pipeline.prompts import Question

_DAY = dt.date(2024, 7, 26)  # for templates that print today's date: a prompt must not change overnight
_SLOT = re.compile("\ue000([0-9]+)\ue001")  # private-use characters: no template contains or changes them
# Marks what a model is trained to say, in templates written for training; prints nothing.
_GENERATION = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")
# A template is a program of somebody else's: RuntimeError is recursion without end, too.
_FAILURES = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    MemoryError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The tokens around an item's text."""

    prefix: tuple[int, ...]
    """Everything before the text; the same for all items of a question."""
    lead: str
    """Blanks of the frame that are tokenised with the text, because a blank belongs to the word behind it."""
    suffix: tuple[int, ...]
    """Everything behind the text, up to where answers begin to differ."""
    tail: str
    """Plain text that the suffix ends with: an answer's first token may depend on it."""


class ChatTemplate:
    """A chat template: the model file's own, or the one that the job names for a file without."""

    def __init__(self, source: str, vocab: Vocab) -> None:
        """Compile; raises ModelError for what is no template or cannot put a question."""
        self._vocab = vocab
        environment = self._environment = BoundedSandbox()
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _DAY.strftime
        try:
            self._template = environment.from_string(_GENERATION.sub(_plain_block, source))
        except TemplateError as error:
            raise ModelError(f"the chat template does not compile: {error}") from None
        except _FAILURES as error:
            raise ModelError(f"the chat template does not compile: {type(error).__name__}") from None
        self._takes_system = self._places(["system", "user"]) is not None
        if self._places(["user"]) is None:
            raise ModelError("the chat template does not print a user's turn: use an instruction model")

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the template's output with the model's turn opened; raises ModelError."""
        self._environment.begin()
        try:
            return self._template.render(
                messages=list(messages),
                add_generation_prompt=True,
                bos_token=self._vocab.named("bos"),
                eos_token=self._vocab.named("eos"),
                tools=None,
                documents=None,
                enable_thinking=False,
            )
        except _FAILURES as error:
            raise ModelError(f"the chat template failed: {type(error).__name__}") from None

    def _places(self, roles: Sequence[str]) -> list[str] | None:
        """Return the frame cut at the messages' contents; None where a message is not printed once and in order."""
        try:
            text = self.render(
                [{"role": role, "content": f"\ue000{number}\ue001"} for number, role in enumerate(roles)]
            )
        except ModelError:
            return None
        if _SLOT.findall(text) != [str(number) for number in range(len(roles))]:
            return None
        return _SLOT.split(text)[::2]

    def messages(self, question: Question) -> list[tuple[str, str]]:
        """Return (role, content) of all turns, the last one's content being what stands before the item's text.

        Where the template knows no system turn, or prints it behind the examples (as Mistral's do), its text opens the
        first user's turn.
        """
        turns = [turn for asked, answered in question.shots for turn in (("user", asked), ("assistant", answered))]
        turns.append(("user", question.before))
        with_system = [("system", question.system), *turns]
        if self._takes_system and self._places([role for role, _ in with_system]) is not None:
            return with_system
        return [("user", f"{question.system}\n\n{turns[0][1]}"), *turns[1:]]

    def prompt(self, question: Question) -> Prompt:
        """Return a question's tokens around the text; raises ModelError where the template cannot put it."""
        turns = self.messages(question)
        frames = self._places([role for role, _ in turns])
        if frames is None:
            raise ModelError("the chat template does not print this question's turns in order")
        vocab = self._vocab
        vocab.reserve("".join(frames))
        contents = [content for _, content in turns]
        lead = contents[-1][len(contents[-1].rstrip(" ")) :]
        contents[-1] = contents[-1].removesuffix(lead)
        pieces = [
            piece
            for frame, content in zip(frames, contents, strict=False)
            for piece in ((frame, True), (content, False))
        ]
        prefix = self._begun(vocab.framed(pieces))
        suffix = vocab.framed([(question.after, False), (frames[-1], True), (question.opening, False)])
        tail = vocab.behind_last_marker(frames[-1])
        if tail is None:
            tail = question.after + frames[-1]
        return Prompt(prefix=tuple(prefix), lead=lead, suffix=tuple(suffix), tail=tail + question.opening)

    def answer_tokens(self, prompt: Prompt, answer: str) -> tuple[int, ...]:
        """Return an answer's tokens as they would come behind the prompt, its end not included."""
        before = self._vocab.plain(prompt.tail)
        both = self._vocab.plain(prompt.tail + answer)
        if both[: len(before)] != before:
            return tuple(self._vocab.plain(answer))
        return tuple(both[len(before) :])

    def _begun(self, tokens: list[int]) -> list[int]:
        """Put the BOS token in front exactly once, if this model wants it or its template prints it."""
        bos = self._vocab.bos
        if bos is None or tokens[:1] == [bos]:
            return tokens
        return [bos, *tokens]


def _plain_block(found: "re.Match[str]") -> str:
    return f"{{%{found[1]} {'endif' if found[2] else 'if true'} {found[3]}%}}"


def _to_json(value: Any, indent: int | None = None, **_options: Any) -> str:  # noqa: ANN401 — a template's filter
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
