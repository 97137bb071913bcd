"""LlamaEngine: the Engine port over a GGUF file in this process.

Asks are grouped by how their questions begin; each group is one Call. What the items of a group share, instruction and
examples, is read once and kept for the next call; questions of the same text read it once between them. The groups fill
the same batches: a call's seconds are its share, by tokens read, of the time that all took.
"""

import contextlib
import statistics
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.adapters.llama.asked import AskedQuestions
from pipeline.adapters.llama.context import BATCH_TOKENS, Context
from pipeline.adapters.llama.hidden import HiddenStates
from pipeline.adapters.llama.layout import Item, Layout
from pipeline.adapters.llama.library import llama
from pipeline.adapters.llama.loading import load_model
from pipeline.adapters.llama.output import OutputRows
from pipeline.adapters.llama.reader import Reader
from pipeline.adapters.llama.record import Recording
from pipeline.adapters.llama.strands import Work
from pipeline.adapters.llama.template import ChatTemplate
from pipeline.adapters.llama.templates import refuse_template, template_text
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.errors import ConfigError, EngineUnavailable
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.trie import Tokens
from pipeline.ports.engine import Ask, Reply

SEQUENCES = 128
EXTRA_CELLS = 4096
"""Cells beyond one item's window: what lets short items be read many at once."""
_WRITERS = 16
_PROBE = "the quick brown fox"


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
        gpu_layers: int | None,
        threads: int,
        chat_template: str | None = None,
        hidden_states: bool = False,
        reproducible: bool = False,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        """Load the model; raises ModelError for a file that is missing, damaged, or no chat model.

        `context_tokens` is the window of one item (a model trained on less has less). `gpu_layers`: -1 is all of them,
        None all where this build knows a GPU. `chat_template` is for a file that has none: a built-in's name or a text.
        An answer has at most `max_answer_tokens`, and never more than half the window. With `hidden_states` asks may
        want them; `batch_tokens` are read at once. With `reproducible` every ask is read by itself, so that its answer
        does not depend on the others. The file has been through the model store's reader: over some lies llama.cpp ends
        the process.
        """
        self._name = model_name
        self._lib = llama()
        self._context: Context | None = None
        self._questions: AskedQuestions | None = None
        self._model: Any = load_model(model_path, gpu_layers)
        try:
            self._vocab = Vocab(self._model)
            self._template = ChatTemplate(self._template_source(model_path, chat_template), self._vocab)
            self._window = min(context_tokens, self._lib.llama_model_n_ctx_train(self._model) or context_tokens)
            self._max_answer_tokens = min(max_answer_tokens, self._window // 2)
            self._questions = AskedQuestions(self._template, self._vocab, max_answer_tokens=self._max_answer_tokens)
            self._keeps_hidden = hidden_states
            width = self._lib.llama_model_n_embd(self._model)
            self._context = Context(
                self._model,
                cells=self._window + EXTRA_CELLS,
                sequences=SEQUENCES,
                threads=threads,
                vocab_size=self._vocab.size,
                batch_tokens=batch_tokens,
                hidden=HiddenStates(
                    width, layers=self._lib.llama_model_n_layer(self._model) if hidden_states else None
                ),
            )
            if not reproducible:  # its answers are those of llama.cpp, to the last digit
                self._adopt_output(model_path, width, self._context)
            self._reader = Reader(self._context)
            self._layout = Layout(
                self._vocab,
                window=self._window,
                max_text_tokens=max_text_tokens,
                max_answer_tokens=self._max_answer_tokens,
            )
            self._reproducible = reproducible
        except BaseException:
            self.close()
            raise

    @property
    def model(self) -> str:
        """What answers, as the ledger names it."""
        return self._name

    @property
    def beats(self) -> int:
        """How many batches it has read."""
        return 0 if self._context is None else self._context.decoded

    def _adopt_output(self, path: Path, width: int, context: Context) -> None:
        """Make logits of labels without llama.cpp's whole matrix, where that gives the same."""
        with contextlib.suppress(ValueError, OSError, AttributeError, EngineUnavailable):
            rows = OutputRows(path, width=width, tokens=self._vocab.size)
            context.adopt(rows, self._vocab.plain(_PROBE))

    def _template_source(self, path: Path, named: str | None) -> str:
        source = self._lib.llama_model_chat_template(self._model, None)
        refuse_template(path.name, named, has_own=bool(source))
        text: str = source.decode("utf-8", "replace") if source else template_text(named or "")
        return text

    def close(self) -> None:
        """Give back memory; twice is harmless."""
        if self._questions is not None:
            self._questions.close()
        if self._context is not None:
            self._context.close()
            self._context = None
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    @property
    def tokens_read(self) -> int:
        """Tokens that the model has read so far, each as often as it was read: what all the work consists of."""
        return 0 if self._context is None else self._context.tokens_read

    def use_threads(self, threads: int) -> None:
        """Go on with another number of threads, to measure which is best."""
        if self._context is not None:
            self._context.use_threads(threads)

    def read_tokens_per_s(self, *, sequences: int = 1, each: int = BATCH_TOKENS) -> float:
        """Measure how fast this machine reads, by default 512 tokens at once: what all reading is held against."""
        tokens = tuple(self._vocab.plain("the quick brown fox " * each)[:each])
        self._reader.time_reading(tokens[:64])
        seconds = statistics.median(self._reader.time_reading(tokens, sequences=sequences) for _ in range(3))
        return sequences * each / seconds

    def write_tokens_per_s(self) -> float:
        """Measure how fast it decodes one token for each of 16 sequences at once."""
        tokens = tuple(self._vocab.plain(" the")[:1])
        seconds = statistics.median(self._reader.time_reading(tokens, sequences=_WRITERS) for _ in range(5))
        return _WRITERS / seconds

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer every ask, in its place; one Call for all whose questions begin alike.

        Asks of one text whose questions begin alike share one reading of it. Raises EngineUnavailable when llama.cpp
        itself fails (memory, a device), and ConfigError for a question that this model cannot be asked: labels that are
        the same tokens to it, a template that does not print it.
        """
        if self._context is None or self._questions is None:
            raise EngineUnavailable("the engine is closed")
        if not self._keeps_hidden and any(ask.hidden or ask.half for ask in asks):
            raise ConfigError("this engine was loaded without hidden states: load it with hidden_states=True")
        groups: dict[Tokens, list[Item]] = {}
        for place, ask in enumerate(asks):
            item = Item(place=place, ask=ask, asked=self._questions.get(ask.question))
            groups.setdefault(item.asked.prompt.prefix, []).append(item)
        started = time.perf_counter()
        works = self._run(groups)
        seconds = time.perf_counter() - started
        given: list[Given | None] = [None] * len(asks)
        calls: list[Call] = []
        for items, work in zip(groups.values(), works, strict=True):
            share = _share(work, works)
            calls.append(self._call(items, work, call_no=len(calls), seconds=seconds * share, given=given))
        self._questions.trim()
        return Reply(given=tuple(given), calls=tuple(calls))

    def _run(self, groups: Mapping[Tokens, Sequence[Item]]) -> list[Work]:
        """Bring all items to their answers."""
        try:
            if self._reproducible:
                return [self._one_by_one(prefix, items) for prefix, items in groups.items()]
            works = [Work(prefix=prefix, families=self._layout.together(items)) for prefix, items in groups.items()]
            self._reader.run(works)
            return works
        finally:
            for items in groups.values():
                for item in items:
                    if isinstance(item.answering, Recording):
                        item.answering.close()

    def _one_by_one(self, prefix: Tokens, items: Sequence[Item]) -> Work:
        self._reader.keep_only(prefix)
        total = Work(prefix=prefix, families=self._layout.apart(items))
        for family in total.families:
            work = Work(prefix=prefix, families=[family])
            self._reader.run([work])
            total.fresh += work.fresh
            total.read += work.read
        return total

    def _call(
        self, items: Sequence[Item], work: Work, *, call_no: int, seconds: float, given: list[Given | None]
    ) -> Call:
        """Put the answers in their places, and return what they took."""
        fresh = work.fresh
        usages = []
        for item in items:
            if item.pays:
                item.cached, fresh = item.cached - fresh, 0  # whoever comes first pays for the instruction
            given[item.place] = answered = item.given(call_no)
            usages.append(answered.usage)
        return Call(
            id=uuid.uuid4(),
            model=self._name,
            tokens_in=sum(usage.tokens_in or 0 for usage in usages),
            tokens_cached=sum(usage.tokens_cached or 0 for usage in usages),
            tokens_out=sum(usage.tokens_out or 0 for usage in usages),
            seconds=seconds,
        )


def _share(work: Work, works: Sequence[Work]) -> float:
    """Return a work's share of what all of them took; equal shares where nothing had to be read."""
    read = sum(one.read for one in works)
    return work.read / read if read else 1 / len(works)
