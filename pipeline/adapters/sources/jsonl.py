r"""JSON Lines: one object a line; blank lines are passed over.

Numbers keep the digits they were written with, true and false are words, null is an empty string, and what is nested
becomes JSON text. An object that names a member twice is refused: which one was meant can't be known.
"""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from pipeline.adapters.sources.feed import Block, Flaw
from pipeline.adapters.sources.render import Renderer
from pipeline.domain.items import RejectReason
from pipeline.ports.source import Row

_WORDS = {None: "", True: "true", False: "false"}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a member is named twice"
        raise ValueError(msg)
    return members


def _no_constant(_: str) -> NoReturn:
    msg = "NaN and Infinity are no JSON"
    raise ValueError(msg)


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_no_constant
).decode


def jsonl_rows(blocks: Iterator[Block], renderer: Renderer) -> Iterator[Row]:
    """Yield one row for each line that is not blank."""
    for block in blocks:
        flaws = block.flaws
        for number, line in enumerate(block.lines, block.first_line):
            if flaws and number in flaws:
                yield renderer.rejected(number, flaws[number])
            elif not line.isspace():
                yield _row(number, line, renderer)


def _row(number: int, line: str, renderer: Renderer) -> Row:
    members = _members(line)
    if isinstance(members, Flaw):
        return renderer.rejected(number, members)
    try:
        found = [members[name] for name in renderer.needed]
    except KeyError:
        missing = [name for name in renderer.needed if name not in members]
        return renderer.rejected(number, Flaw(RejectReason.MISSING_COLUMN, f"no member {', '.join(missing)}"))
    try:
        values = [
            value if type(value) is str else _text(name, value, line)
            for name, value in zip(renderer.needed, found, strict=True)
        ]
    except (RecursionError, ValueError):
        return renderer.rejected(number, Flaw(RejectReason.BAD_JSON, "nested too deeply, or a number too long"))
    if "\\u" in line and not all(_storable(value) for value in values):
        detail = "a NUL or half of a surrogate pair, written as an escape; remove it"
        return renderer.rejected(number, Flaw(RejectReason.BAD_ENCODING, detail))
    return renderer.row(number, values)


def _members(line: str) -> dict[str, Any] | Flaw:
    try:
        value = _decode(line)
    except json.JSONDecodeError as error:
        return Flaw(RejectReason.BAD_JSON, f"no JSON: {error.msg} at character {error.colno}")
    except RecursionError:
        return Flaw(RejectReason.BAD_JSON, "nested too deeply")
    except ValueError as error:
        return Flaw(RejectReason.BAD_JSON, str(error))
    if not isinstance(value, dict):
        return Flaw(RejectReason.BAD_JSON, "the line holds no JSON object; write one object a line")
    return value


def _text(name: str, value: object, line: str) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    # The numbers inside were kept as strings above: read the line again as plain JSON, this being rare.
    return json.dumps(json.loads(line)[name], ensure_ascii=False)


def _storable(value: str) -> bool:
    if "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
