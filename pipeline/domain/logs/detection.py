"""Which layout a file has, told by some of its lines; a file of several services may have several."""

import functools
from collections.abc import Iterable, Sequence

from pipeline.domain.logs.headers import LAYOUTS, PLAIN
from pipeline.domain.logs.layouts import Header, Layout, Line

_ENOUGH = 0.6
"""A layout that fits so large a share of the lines is that of the file; so do several together."""
_SOME = 0.03
"""One of several fits so large a share at least."""
_BETWEEN = "+"


class MixedLayout(Layout):
    """Several layouts; the first that fits a line is the line's."""

    def __init__(self, parts: Sequence[Layout]) -> None:
        """Name it by its parts."""
        self.name = _BETWEEN.join(part.name for part in parts)
        self._parts = tuple(parts)
        self.told_by_shape = all(part.told_by_shape for part in parts)
        self.spans_lines = any(part.spans_lines for part in parts)

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that a header may have, in their order."""
        return tuple(dict.fromkeys(name for part in self._parts for name in part.names))

    def header(self, text: str) -> Header | None:
        """Return what a line says; None for one that fits none."""
        return next((found for part in self._parts if (found := part.header(text)) is not None), None)

    def read(self, text: str) -> Line:
        """Return where in a line it says it."""
        return next((part.read(text) for part in self._parts if part.fits(text)), Line({}, 0, text))

    def fits(self, text: str) -> bool:
        """Whether a line begins as one of them says."""
        return any(part.fits(text) for part in self._parts)


@functools.cache
def layout_named(name: str) -> Layout | None:
    """Return a layout by its name; None where it, or one of its parts, is not known."""
    parts = [LAYOUTS.get(part) for part in name.split(_BETWEEN)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return known[0] if len(known) == 1 else MixedLayout(known)


def detect(lines: Iterable[str]) -> Layout:
    """Return the first layout that fits most of some lines; if none does, those that do together, or plain."""
    looked_at = [line for line in lines if line.strip()]
    enough = _ENOUGH * len(looked_at)
    for layout in LAYOUTS.values():
        if looked_at and sum(map(layout.fits, looked_at)) >= enough:
            if layout.name == PLAIN:
                break
            return layout
    rest, parts = looked_at, []
    for layout in LAYOUTS.values():
        others = [line for line in rest if not layout.fits(line)]
        if layout.name != PLAIN and len(rest) - len(others) >= _SOME * len(looked_at) and len(others) < len(rest):
            rest = others
            parts.append(layout.name)
    mixed = layout_named(_BETWEEN.join(parts)) if parts and len(looked_at) - len(rest) >= enough else None
    return mixed or LAYOUTS[PLAIN]
