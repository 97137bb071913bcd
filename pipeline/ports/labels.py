"""What a store keeps of people's labels, and what it hands out to be labelled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from pipeline.domain.answers import Plain

Which: TypeAlias = Literal["drawn", "unresolved", "audited"]
"""drawn: for certificates that wait; unresolved: what no tier could answer; audited: what the reference was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToLabel:
    """An item that people should look at."""

    key: str
    text: str
    steps: tuple[int, ...]
    """Numbers of the steps that are asked of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLabel:
    """What people say is the right answer to one step of an item."""

    key: str
    step_no: int
    value: Plain
    """None: no label fits, or the text does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLabels:
    """What became of labels."""

    kept: int
    unknown_keys: tuple[str, ...]
    """Keys that no item of the run has: nothing was kept for them."""


class LabelStore(Protocol):
    """Labels of a run's items. They are shown in results in place of whatever a tier had answered."""

    def to_label(self, run_id: int, which: Which) -> Iterator[ToLabel]:
        """Yield items that are not labelled yet, in the source's order; of copies the first."""
        ...

    def keep_labels(self, run_id: int, new: Sequence[NewLabel]) -> KeptLabels:
        """Keep labels, in place of earlier ones; a run that waited for some goes on."""
        ...
