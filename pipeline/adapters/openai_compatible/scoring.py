"""RawScores of an answer: one for each value, and the least sure one for the whole."""

from pipeline.adapters.openai_compatible.completion import Completion, Reading
from pipeline.adapters.openai_compatible.logprobs import aligned, score
from pipeline.adapters.openai_compatible.spaces import choice_space, field_space
from pipeline.domain.answers import Fields, Label
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import Choice, Form
from pipeline.prompts import ANSWER_KEY


def scores_of(completion: Completion, reading: Reading, form: Form) -> tuple[RawScore | None, dict[str, RawScore]]:
    """Return the answer's score (None: unknown) and, for a record, those of the fields that are known."""
    if completion.content is None or not isinstance(reading.answer, Label | Fields):
        return None, {}
    found = aligned(completion.tokens, completion.content)
    if found is None:
        return None, {}
    if isinstance(form, Choice):
        if not isinstance(reading.answer, Label):
            return None, {}
        span = reading.spans[ANSWER_KEY]
        written = completion.content[slice(*span)]
        space = choice_space(form.options, reading.answer.value, written, bare=reading.bare)
        known = score(found, span, space)
        return None if known is None else RawScore(known), {}
    scores: dict[str, RawScore] = {}
    for name, spec in form.fields:
        span = reading.spans[name]
        known = score(found, span, field_space(spec, completion.content[slice(*span)]))
        if known is not None:
            scores[name] = RawScore(known)
    return (min(scores.values()) if len(scores) == len(form.fields) else None), scores
