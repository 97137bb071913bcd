"""The one door through which texts leave the machine: an engine that never sees what the job redacts.

Whoever asks a job's tier asks through `shielded`. Texts go out with placeholders, answers come back with the values, so
that all checks compare an answer with the text that the item has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from pipeline.domain.job import Job
from pipeline.domain.outcomes import Given
from pipeline.domain.personal import Kind
from pipeline.domain.redaction import Redacted, opened, redacted, restored_answer
from pipeline.ports.engine import Ask, Engine, Reply
from pipeline.prompts import Question


@dataclass(frozen=True, kw_only=True)
class Shield:
    """What a tier sees instead of a question and a text."""

    kinds: tuple[Kind, ...]
    """None: everything as it is."""
    _questions: dict[str, Question] = field(default_factory=dict, repr=False)

    def question(self, question: Question) -> Question:
        """Return a question that a placeholder may answer."""
        if not self.kinds:
            return question
        found = self._questions.get(question.digest)
        if found is None:
            found = self._questions[question.digest] = replace(question, form=opened(question.form))
        return found

    def text(self, text: str) -> str:
        """Return a text as it is sent."""
        return redacted(text, self.kinds).text if self.kinds else text

    def over(self, engine: Engine) -> Engine:
        """Return an engine that is asked through this shield."""
        return _Shielded(engine=engine, shield=self) if self.kinds else engine


def shielded(engine: Engine, job: Job, tier_no: int) -> Engine:
    """Return what to ask a job's tier through: the engine itself where nothing is to be kept from it."""
    return Shield(kinds=job.redacted_at(tier_no)).over(engine)


@dataclass(frozen=True, kw_only=True)
class _Shielded:
    """An engine behind a shield. Closing it closes the engine."""

    engine: Engine
    shield: Shield

    @property
    def model(self) -> str:
        return self.engine.model

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer every ask; see the port."""
        texts = {text: redacted(text, self.shield.kinds) for text in {ask.text for ask in asks}}
        sent = [replace(ask, question=self.shield.question(ask.question), text=texts[ask.text].text) for ask in asks]
        reply = self.engine.answer(sent)
        # An engine that lost an answer is found out by who asked: as many come back as it gave.
        given = tuple(
            one if one is None or ask is None else _restored(one, ask, texts[ask.text])
            for ask, one in zip_longest(asks[: len(reply.given)], reply.given)
        )
        return replace(reply, given=given)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


def _restored(given: Given, ask: Ask, redaction: Redacted) -> Given:
    return replace(given, answer=restored_answer(given.answer, ask.question.form, redaction))
