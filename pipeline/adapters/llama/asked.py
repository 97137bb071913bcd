"""Questions as a model is asked them: their tokens, label tries and the constraints of their fields; kept for reuse."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.choice import FORKS
from pipeline.adapters.llama.constraint import Grammar
from pipeline.adapters.llama.record import is_chosen, is_held
from pipeline.adapters.llama.template import ChatTemplate, Prompt
from pipeline.adapters.llama.vocab import Vocab
from pipeline.adapters.llama.writing import EXPECTED_TOKENS, SlotPlan
from pipeline.domain.errors import ConfigError
from pipeline.domain.grammar import slots
from pipeline.domain.steps import Choice, Record
from pipeline.domain.trie import LabelTrie
from pipeline.prompts import Question

_KEPT = 512


def _no_ids() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, ready for this model."""

    question: Question
    prompt: Prompt
    reserve: int
    """Tokens kept free for the answer."""
    trie: LabelTrie | None = None
    end_ids: NDArray[np.int64] = field(default_factory=_no_ids)
    """Tokens that may end a label; none where no label is the beginning of another."""
    plan: tuple[SlotPlan, ...] = ()

    @property
    def expected(self) -> int:
        """Tokens behind the prompt that are expected to be in the cache at once."""
        if self.trie is not None:
            return FORKS * self.trie.longest
        return sum(len(slot.lead) + EXPECTED_TOKENS for slot in self.plan)

    def close(self) -> None:
        """Give its grammars back."""
        for slot in self.plan:
            if slot.grammar is not None:
                slot.grammar.close()


class AskedQuestions:
    """Prepares questions on first use."""

    def __init__(self, template: ChatTemplate, vocab: Vocab, *, max_answer_tokens: int) -> None:
        """Begin with none."""
        self._template = template
        self._vocab = vocab
        self._max_answer_tokens = max_answer_tokens
        self._known: OrderedDict[str, Asked] = OrderedDict()

    def get(self, question: Question) -> Asked:
        """Return a question's tokens and tables; raises ConfigError where this model cannot be asked it."""
        asked = self._known.get(question.digest)
        if asked is None:
            asked = self._known[question.digest] = self._prepared(question)
        self._known.move_to_end(question.digest)
        return asked

    def trim(self) -> None:
        """Forget those not used for longest; only while none is in use."""
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)[1].close()

    def close(self) -> None:
        """Forget all."""
        for asked in self._known.values():
            asked.close()
        self._known.clear()

    def _prepared(self, question: Question) -> Asked:
        prompt = self._template.prompt(question)
        match question.form:
            case Choice(options):
                written = [self._template.answer_tokens(prompt, question.continued(option)) for option in options]
                trie = LabelTrie(written, options)
                ends = self._vocab.quote_ids if trie.has_prefixes else _no_ids()
                return Asked(question=question, prompt=prompt, reserve=trie.longest + 1, trie=trie, end_ids=ends)
            case Record() as form:
                plan = self._plan(question, prompt, form)
                return Asked(question=question, prompt=prompt, reserve=self._max_answer_tokens, plan=plan)

    def _plan(self, question: Question, prompt: Prompt, form: Record) -> tuple[SlotPlan, ...]:
        plan: list[SlotPlan] = []
        for name, spec in form.fields:
            (slot,) = slots([(name, spec)])  # an object of its own: no field waits for another
            grammar: Grammar | None = None
            if not is_chosen(spec) and not is_held(spec):
                try:
                    grammar = Grammar(self._vocab, slot.grammar, what=f"step {question.step}, field {name}")
                except ConfigError:
                    Asked(question=question, prompt=prompt, reserve=0, plan=tuple(plan)).close()
                    raise
            lead = self._template.answer_tokens(prompt, slot.lead)
            plan.append(SlotPlan(slot=slot, spec=spec, lead=lead, grammar=grammar))
        return tuple(plan)
