"""Layouts: how a file says when, where and by whom a line was written, apart from what it says."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.domain.logs.masks import Value


@dataclass(frozen=True, slots=True)
class Line:
    """A line, its header read."""

    fields: Mapping[str, Value]
    """What the header says, by name; the kind of a value is its name, too."""
    content_at: int
    """Where the content begins, in characters."""
    text: str
    """What these places are in: the line, or of JSON its fields and its message."""


class Header(NamedTuple):
    """What a line says, header and content apart."""

    fields: dict[str, str]
    content: str
    following: str = ""
    """Lines that belong to it and are told with it."""


class Layout(abc.ABC):
    """How the headers of a file are laid out."""

    name: str
    told_by_shape = False
    """Whether it takes lines alike that differ in digits only."""
    spans_lines = False
    """Whether lines that do not fit belong to the one before."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """The fields that a header may have, in their order."""

    @abc.abstractmethod
    def header(self, text: str) -> Header | None:
        """Return what a line says; None for one that does not fit."""

    @abc.abstractmethod
    def read(self, text: str) -> Line:
        """Return where in a line it says it; one that does not fit is all content."""

    def fits(self, text: str) -> bool:
        """Whether a line begins as this layout says."""
        return self.header(text) is not None
