"""Questions asked of an item. A kind of step lives here (its schema) and in `prompts` (its words), nowhere else.

Engines never see a kind: they see a `Form`, which says what an answer looks like. A new kind that answers with a choice
or with fields needs no change to any engine.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.domain.checks import Check
from pipeline.domain.fields import Fieldset, FieldSpec

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="a-z, 0-9 and _, first a letter")]
MAX_LABELS = 400
MAX_LABEL_CHARS = 100
MAX_NAME_CHARS = 40
MAX_LEVELS = 20
MAX_TICKED = 50
SENTIMENTS = ("negative", "neutral", "positive")
YES_NO = ("yes", "no")


def _list_of_labels(value: object) -> object:
    """Take a list of labels for a table without meanings."""
    if not isinstance(value, list):
        return value
    if not all(isinstance(label, str) for label in value) or len(set(value)) != len(value):
        msg = "a list of labels holds different strings; write a table to say what each means"
        raise ValueError(msg)
    return dict.fromkeys(value, "")


SPEAKABLE = f"1 to {MAX_LABEL_CHARS} printable characters and no blank at its ends"


def is_speakable(label: str) -> bool:
    """Whether a model can be asked to say a label: see SPEAKABLE."""
    return label == label.strip() and 0 < len(label) <= MAX_LABEL_CHARS and label.isprintable()


def _speakable(value: dict[str, str]) -> dict[str, str]:
    if not all(map(is_speakable, value)):
        msg = f"a label has {SPEAKABLE}"
        raise ValueError(msg)
    return value


Meanings = Annotated[dict[str, str], BeforeValidator(_list_of_labels), AfterValidator(_speakable)]
"""Label → what it means; a plain list of labels is taken too."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer is exactly one of the options."""

    options: tuple[str, ...]
    full: bool = False
    """Whether the probability of every option is wanted, not only the winner's."""


@dataclass(frozen=True, slots=True)
class Record:
    """The answer is an object with these fields, in this order, each nullable."""

    fields: tuple[tuple[str, FieldSpec], ...]

    def as_dict(self) -> dict[str, FieldSpec]:
        """Return the fields by name."""
        return dict(self.fields)


Form: TypeAlias = Choice | Record


class Example(BaseModel):
    """A text with its right answer, shown to the model before the item (few-shot)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1)
    answer: str | tuple[str, ...] | dict[str, Any]


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    question: str = ""
    ladder: tuple[str, ...] | None = None
    """Names of the tiers that may answer, cheapest first; None is all tiers of the job."""
    examples: tuple[Example, ...] = ()
    checks: tuple[Check, ...] = ()


class _ChoiceStep(_Step):
    @property
    def options(self) -> tuple[str, ...]:
        raise NotImplementedError  # pragma: no cover — every kind below names its own

    @property
    def form(self) -> Form:
        """What an answer looks like to an engine."""
        return Choice(self.options)

    @model_validator(mode="after")
    def _examples_fit(self) -> "_ChoiceStep":
        for number, example in enumerate(self.examples, 1):
            if example.answer not in self.options:
                msg = f"example {number}: the answer must be one of: {', '.join(self.options[:20])}"
                raise ValueError(msg)
        return self


class ClassifyStep(_ChoiceStep):
    """Ask which one of the labels fits."""

    kind: Literal["classify"]
    labels: Annotated[Meanings, Field(min_length=2, max_length=MAX_LABELS)]
    """Label → what it means; the label itself is what the model must say."""
    orders: int = Field(default=1, strict=True, ge=1, le=8)
    """In how many orders of its labels it is asked; probabilities are averaged. Each costs another reading."""

    @property
    def options(self) -> tuple[str, ...]:
        """The labels in the job's order."""
        return tuple(self.labels)

    @property
    def form(self) -> Form:
        """One label, with the probabilities of all where orders are averaged."""
        return Choice(self.options, full=self.orders > 1)


class YesNoStep(_ChoiceStep):
    """Ask a question whose answer is yes or no."""

    kind: Literal["yes_no"]
    question: str = Field(min_length=1)

    @property
    def options(self) -> tuple[str, ...]:
        """Both answers."""
        return YES_NO


class ScoreStep(_ChoiceStep):
    """Ask which of several ordered levels fits; the answer is a level and the expectation over all of them."""

    kind: Literal["score"]
    levels: Annotated[Meanings, Field(min_length=2, max_length=MAX_LEVELS)]
    """Level → what it means, lowest first."""

    @property
    def options(self) -> tuple[str, ...]:
        """The levels, lowest first."""
        return tuple(self.levels)

    @property
    def form(self) -> Form:
        """One level, with the probabilities of all."""
        return Choice(self.options, full=True)

    @property
    def weights(self) -> tuple[float, ...]:
        """What each level counts: itself where all are numbers, otherwise its place from 1 on."""
        try:
            return tuple(float(level) for level in self.levels)
        except ValueError:
            return tuple(float(number) for number in range(1, len(self.levels) + 1))


class MultilabelStep(_Step):
    """Ask for each label whether it fits; none, one or several may."""

    kind: Literal["multilabel"]
    labels: Annotated[Meanings, Field(min_length=1, max_length=MAX_TICKED)]

    @property
    def form(self) -> Form:
        """A yes or no for each label, as one object."""
        return Record(tuple((label, FieldSpec(type="boolean")) for label in self.labels))

    @model_validator(mode="after")
    def _examples_fit(self) -> "MultilabelStep":
        for number, example in enumerate(self.examples, 1):
            if not isinstance(example.answer, tuple) or set(example.answer) - set(self.labels):
                msg = f"example {number}: the answer must be a list of the step's labels, or an empty list"
                raise ValueError(msg)
        return self


class SentimentStep(_ChoiceStep):
    """negative, neutral or positive."""

    kind: Literal["sentiment"]

    @property
    def options(self) -> tuple[str, ...]:
        """The three sentiments."""
        return SENTIMENTS


class ExtractStep(_Step):
    """Ask which values the text holds."""

    kind: Literal["extract"]
    fields: Fieldset

    @property
    def form(self) -> Form:
        """What an answer looks like to an engine."""
        return Record(tuple(self.fields.items()))

    @field_validator("fields")
    @classmethod
    def _named(cls, value: dict[str, FieldSpec]) -> dict[str, FieldSpec]:
        for name in value:
            if not name.isidentifier() or len(name) > MAX_NAME_CHARS:
                msg = f"field name {name!r}: letters, digits and _ only, up to {MAX_NAME_CHARS}"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _examples_fit(self) -> "ExtractStep":
        for number, example in enumerate(self.examples, 1):
            answer = example.answer
            if not isinstance(answer, dict) or set(answer) - set(self.fields):
                msg = f"example {number}: the answer must be a table of the step's fields"
                raise ValueError(msg)
            for name, value in answer.items():
                try:
                    self.fields[name].parse(value)
                except ValueError as error:
                    msg = f"example {number}: field {name} {error}"
                    raise ValueError(msg) from None
        return self


Step: TypeAlias = Annotated[
    ClassifyStep | ExtractStep | SentimentStep | YesNoStep | ScoreStep | MultilabelStep, Field(discriminator="kind")
]
