"""LlamaEngine: the Engine port over a GGUF file in this process.

Asks are grouped by question; each group is one Call. What the items of a question share, the instruction and the
examples, is read once and kept for the next call.
"""

import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pipeline.adapters.llama.choice import ChoiceLane
from pipeline.adapters.llama.constraint import Grammar
from pipeline.adapters.llama.context import Context
from pipeline.adapters.llama.lanes import Reader
from pipeline.adapters.llama.library import forget_errors, last_error, llama
from pipeline.adapters.llama.record import RecordLane, SlotPlan
from pipeline.adapters.llama.template import ChatTemplate, Prompt
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.answers import Defect, Label, Malformed, Usage
from pipeline.domain.errors import ConfigError, EngineUnavailable, ModelError
from pipeline.domain.grammar import slots
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import Choice, Record
from pipeline.domain.trie import LabelTrie, Tokens
from pipeline.ports.engine import Ask, Reply
from pipeline.prompts import Question

SEQUENCES = 128
EXTRA_CELLS = 4096
"""Cells beyond one item's window: what lets short items be read many at once."""
_QUESTIONS_KEPT = 64
_MAGIC = b"GGUF"

_Lane: TypeAlias = ChoiceLane | RecordLane


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question, ready for this model."""

    prompt: Prompt
    reserve: int
    """Tokens kept free for the answer."""
    trie: LabelTrie | None = None
    plan: tuple[SlotPlan, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Item:
    """One ask on its way."""

    place: int
    ask: Ask
    tokens: Tokens = ()
    """Text and suffix."""
    truncated: bool = False
    lane: _Lane | None = field(default=None)
    """None: too long to be asked."""


class LlamaEngine:
    """Answers with the probabilities of a local model. Loads in the constructor, once; one thread at a time."""

    def __init__(
        self,
        model_path: Path,
        *,
        model_name: str,
        context_tokens: int,
        max_text_tokens: int | None,
        max_answer_tokens: int,
        gpu_layers: int,
        threads: int,
    ) -> None:
        """Load the model; raises ModelError for a file that is missing, damaged, or no chat model.

        `context_tokens` is the window of one item (a model trained on less has less), `gpu_layers` -1 is all of them.
        An answer has at most `max_answer_tokens`, and never more than half the window.
        """
        self._name = model_name
        self._lib = llama()
        self._model: Any = None
        self._context: Context | None = None
        self._questions: OrderedDict[str, _Asked] = OrderedDict()
        self._load(model_path, gpu_layers)
        try:
            self._vocab = Vocab(self._model)
            self._template = ChatTemplate(self._template_source(model_path), self._vocab)
            self._window = min(context_tokens, self._lib.llama_model_n_ctx_train(self._model) or context_tokens)
            self._max_text_tokens = max_text_tokens
            self._max_answer_tokens = min(max_answer_tokens, self._window // 2)
            self._context = Context(
                self._model,
                cells=self._window + EXTRA_CELLS,
                sequences=SEQUENCES,
                threads=threads,
                vocab_size=self._vocab.size,
            )
            self._reader = Reader(self._context)
        except BaseException:
            self.close()
            raise

    @property
    def model(self) -> str:
        """What answers, as the ledger names it."""
        return self._name

    def _load(self, path: Path, gpu_layers: int) -> None:
        try:
            with path.open("rb") as file:
                magic = file.read(len(_MAGIC))
        except OSError as error:
            raise ModelError(f"cannot read model file {path}: {error.strerror}; pull it or correct the path") from None
        if magic != _MAGIC:
            raise ModelError(f"{path} is no GGUF file: pull the model again, or name a GGUF")
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 1 << 20
        forget_errors()
        self._model = self._lib.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelError(f"llama.cpp cannot load {path}: {last_error() or 'damaged or unknown'}; pull it again")

    def _template_source(self, path: Path) -> str:
        source = self._lib.llama_model_chat_template(self._model, None)
        if not source:
            raise ModelError(
                f"{path} has no chat template: it is a base model; name an instruction-tuned model, whose file has one"
            )
        text: str = source.decode("utf-8", "replace")
        return text

    def close(self) -> None:
        """Give back memory; twice is harmless."""
        for asked in self._questions.values():
            _close_plan(asked)
        self._questions.clear()
        if self._context is not None:
            self._context.close()
            self._context = None
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer every ask, in its place; one Call for each question among them.

        Raises EngineUnavailable when llama.cpp itself fails (memory, a device), and ConfigError for a question that
        this model cannot be asked: labels that are the same tokens to it, a template that does not print it.
        """
        if self._context is None:
            raise EngineUnavailable("the engine is closed")
        groups: dict[str, list[_Item]] = {}
        for place, ask in enumerate(asks):
            groups.setdefault(ask.question.digest, []).append(_Item(place=place, ask=ask))
        given: list[Given | None] = [None] * len(asks)
        calls: list[Call] = []
        for items in groups.values():
            calls.append(self._answer_group(items, len(calls), given))
        return Reply(given=tuple(given), calls=tuple(calls))

    def _answer_group(self, items: list[_Item], call_no: int, given: list[Given | None]) -> Call:
        started = time.perf_counter()
        asked = self._asked(items[0].ask.question)
        try:
            for item in items:
                self._prepare(item, asked)
            lanes = [(item, item.lane) for item in items if item.lane is not None]
            lanes.sort(key=lambda pair: -len(pair[0].tokens))  # the long first: the short fill the batches up
            fresh = self._reader.run(asked.prompt.prefix, [lane for _, lane in lanes])
        finally:
            for item in items:
                if isinstance(item.lane, RecordLane):
                    item.lane.close()
        payer = lanes[0][0].place if lanes else -1
        answers = []
        for item in items:
            cached = len(asked.prompt.prefix) - (fresh if item.place == payer else 0)
            answers.append(_given(item, asked, call_no, cached))
            given[item.place] = answers[-1]
        usages = [answer.usage for answer in answers]
        return Call(
            id=uuid.uuid4(),
            model=self._name,
            tokens_in=sum(usage.tokens_in or 0 for usage in usages),
            tokens_cached=sum(usage.tokens_cached or 0 for usage in usages),
            tokens_out=sum(usage.tokens_out or 0 for usage in usages),
            seconds=time.perf_counter() - started,
        )

    def _asked(self, question: Question) -> _Asked:
        asked = self._questions.get(question.digest)
        if asked is None:
            asked = self._questions[question.digest] = self._plan(question)
            if len(self._questions) > _QUESTIONS_KEPT:
                _close_plan(self._questions.popitem(last=False)[1])
        self._questions.move_to_end(question.digest)
        return asked

    def _plan(self, question: Question) -> _Asked:
        prompt = self._template.prompt(question)
        if isinstance(question.form, Choice):
            labels = [self._template.answer_tokens(prompt, option) for option in question.form.options]
            trie = LabelTrie(labels, question.form.options)
            return _Asked(prompt=prompt, reserve=trie.longest + 1, trie=trie)
        plan: list[SlotPlan] = []
        try:
            for slot in slots(question.form.fields):
                lead = self._template.answer_tokens(prompt, slot.lead) if not plan else self._vocab.plain(slot.lead)
                grammar = Grammar(self._vocab, slot.grammar, what=f"step {question.step}, field {slot.name}")
                plan.append(SlotPlan(slot=slot, lead=tuple(lead), grammar=grammar))
        except ConfigError:
            for done in plan:
                done.grammar.close()
            raise
        return _Asked(prompt=prompt, reserve=self._max_answer_tokens, plan=tuple(plan))

    def _prepare(self, item: _Item, asked: _Asked) -> None:
        """Tokenise an item and give it a lane, unless it is too long."""
        prompt = asked.prompt
        text = self._vocab.plain(prompt.lead + item.ask.text)
        room = self._window - len(prompt.prefix) - len(prompt.suffix) - asked.reserve
        if self._max_text_tokens is not None:
            room = min(room, self._max_text_tokens)
        if len(text) > room:
            if item.ask.on_long != "truncate" or room <= 0:
                return
            text = text[:room]
            item.truncated = True
        item.tokens = (*text, *prompt.suffix)
        form = item.ask.question.form
        if asked.trie is not None:
            item.lane = ChoiceLane(asked.trie, item.tokens, self._vocab.end_ids)
        elif isinstance(form, Record):
            item.lane = RecordLane(form.as_dict(), asked.plan, item.tokens, max_answer_tokens=self._max_answer_tokens)


def _given(item: _Item, asked: _Asked, call_no: int, cached: int) -> Given:
    lane = item.lane
    if lane is None:
        return Given(
            answer=Malformed(defect=Defect.TOO_LONG, detail="the text exceeds the length that this tier may read"),
            raw_score=None,
            usage=Usage(tokens_in=0, tokens_cached=0, tokens_out=0),  # nothing was read
            call_no=call_no,
        )
    tokens_in = len(asked.prompt.prefix) + len(item.tokens)
    if isinstance(lane, ChoiceLane):
        form = item.ask.question.form
        number, score = lane.answer
        return Given(
            answer=Label(form.options[number] if isinstance(form, Choice) else ""),
            raw_score=RawScore(score),
            usage=Usage(tokens_in=tokens_in, tokens_cached=cached, tokens_out=len(lane.label_tokens)),
            call_no=call_no,
            truncated=item.truncated,
        )
    answer, scores = lane.answer, lane.field_scores
    sure = not isinstance(answer, Malformed)
    return Given(
        answer=answer,
        raw_score=min(scores.values()) if sure else None,
        field_scores=scores if sure else {},
        usage=Usage(tokens_in=tokens_in, tokens_cached=cached, tokens_out=lane.tokens_out),
        call_no=call_no,
        truncated=item.truncated,
    )


def _close_plan(asked: _Asked) -> None:
    for slot in asked.plan:
        slot.grammar.close()
