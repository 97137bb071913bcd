"""Grammars (GBNF, llama.cpp's notation) of what an extract step's values may look like, and the frame around them.

The answer's object is written field by field: its keys are ours, only a value and the sign behind it come from the
model. So there is one small grammar per field: a blank, the value as `json.dumps` writes it, and the `,` or `}` that
ends it. Strings are bounded (`MAX_STRING_CHARS`, unless a pattern says otherwise), lists by `MAX_LIST_ITEMS`, numbers
have up to 15 digits and 9 decimals, dates are of the years 1000 to 9999. No other blank is allowed anywhere.

Patterns come from the tree of `patterns`, written over *JSON-escaped* text. NUL and lone surrogates, which databases
and UTF-8 refuse, are never allowed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.domain.currencies import CODES
from pipeline.domain.fields import MAX_LIST_ITEMS, MAX_STRING_CHARS, FieldSpec
from pipeline.domain.patterns import Alt, Chars, Node, PatternError, Repeat, Seq, parse

_SHORT_ESCAPES = {0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r", 0x22: '\\"', 0x5C: "\\\\"}
_ESCAPED = ((0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C))
_UNSAYABLE = (*_ESCAPED, (0xD800, 0xDFFF))
_LAST = 0x10FFFF
_FREE_CHAR = r'[^\x00-\x1F"\\\x7F] | "\\" ["\\/nrt]'
_DATE = r'[1-9] [0-9]{3} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])'
_FIGURES = '("0" | [1-9] [0-9]{0,14})'
_DECIMALS = '("." [0-9]{1,9})?'
_MONEY = f'"-"? {_FIGURES} {_DECIMALS}'
_QUOTE = r'"\""'


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of an object that is being written."""

    name: str
    lead: str
    """What we write before the value."""
    grammar: str
    """What the model may write: blank, value, end sign."""
    end: str
    """The end sign."""

    def holds(self, written: bytes) -> bool:
        """Tell whether what the model wrote is a whole value and its end sign."""
        if not written.endswith(self.end.encode()):
            return False
        try:
            json.loads(written[:-1])
        except ValueError:  # an end sign inside a string, or an unfinished list; UnicodeDecodeError is one too
            return False
        return True


def slots(fields: Sequence[tuple[str, FieldSpec]]) -> tuple[Slot, ...]:
    """Return the object's fields in order; leads and values written together are the JSON object."""
    last = len(fields) - 1
    return tuple(
        Slot(
            name=name,
            lead=("{" if number == 0 else " ") + json.dumps(name, ensure_ascii=False) + ":",
            grammar=value_grammar(spec, "}" if number == last else ","),
            end="}" if number == last else ",",
        )
        for number, (name, spec) in enumerate(fields)
    )


def value_grammar(spec: FieldSpec, end: str) -> str:
    """Return the grammar of one field's value, null included, with the blank before and the end sign behind it."""
    rules: list[str] = []
    value = _scalar(spec, rules)
    if spec.type == "list":
        item = _rule(value, rules)
        more = _rule(f'", " {item}', rules)
        value = f'"[" ({item} {more}{{0,{MAX_LIST_ITEMS - 1}}})? "]"'
    return "\n".join([f'root ::= " " ({value} | "null") {_literal(end)}', *rules, ""])


def _rule(expression: str, rules: list[str]) -> str:
    """Give an expression a name: llama.cpp bounds what may be repeated in place, but not how often a name may be."""
    name = f"r{len(rules)}"
    rules.append(f"{name} ::= {expression}")
    return name


def _scalar(spec: FieldSpec, rules: list[str]) -> str:
    match spec.scalar:
        case "string" if spec.pattern is not None:
            return f"{_QUOTE} {pattern_expression(spec.pattern, rules)} {_QUOTE}"
        case "string":
            return f"{_QUOTE} {_rule(_FREE_CHAR, rules)}{{1,{MAX_STRING_CHARS}}} {_QUOTE}"
        case "one_of":
            return " | ".join(_literal(json.dumps(option, ensure_ascii=False)) for option in spec.options)
        case "date":
            return f"{_QUOTE} {_DATE} {_QUOTE}"
        case "money":
            return (
                f'{_QUOTE} {_rule(" | ".join(_literal(code) for code in sorted(CODES)), rules)} " " {_MONEY} {_QUOTE}'
            )
        case "boolean":
            return '"true" | "false"'
        case kind:
            sign = "" if spec.minimum is not None and spec.minimum >= 0 else '"-"? '
            decimals = f" {_DECIMALS}" if kind == "number" else ""
            return f"{sign}{_FIGURES}{decimals}"


def pattern_expression(pattern: str, rules: list[str]) -> str:
    """Return a grammar expression of the JSON-escaped strings that fully match, its rules put to `rules`.

    Raises PatternError for a class of characters none of which an answer may hold.
    """
    return _expression(parse(pattern), rules)


def _expression(node: Node, rules: list[str]) -> str:
    match node:
        case Chars():
            return _chars(node)
        case Seq(()):
            return '""'
        case Seq(parts):
            return " ".join(_expression(part, rules) for part in parts)
        case Alt(options):
            return "(" + " | ".join(_expression(option, rules) for option in options) + ")"
        case Repeat(inner, low, high):
            if high == 0:
                return '""'
            if _nullable(inner):  # llama.cpp takes a repeated empty match for a left recursion
                some = _nonempty(inner)
                if some is None:
                    return '""'
                inner, low = some, 0
            return f"{_rule(_expression(inner, rules), rules)}{{{low},{'' if high is None else high}}}"


def _nullable(node: Node) -> bool:
    match node:
        case Chars():
            return False
        case Seq(parts):
            return all(_nullable(part) for part in parts)
        case Alt(options):
            return any(_nullable(option) for option in options)
        case Repeat(inner, low, _):
            return low == 0 or _nullable(inner)


def _nonempty(node: Node) -> Node | None:
    """Return the same language without the empty string; None where nothing is left."""
    if not _nullable(node):
        return node
    match node:
        case Seq(parts):
            firsts = [(_nonempty(part), parts[number + 1 :]) for number, part in enumerate(parts)]
            options: list[Node] = [Seq((first, *rest)) for first, rest in firsts if first is not None]
        case Alt(choices):
            options = [some for some in map(_nonempty, choices) if some is not None]
        case Repeat(inner, _, high):
            some = None if high == 0 else _nonempty(inner)
            options = [] if some is None else [Repeat(some, 1, high)]
        case Chars():
            return node
    if not options:
        return None
    return options[0] if len(options) == 1 else Alt(tuple(options))


def _chars(node: Chars) -> str:
    """One character of the class, raw where JSON takes it raw and escaped where JSON must."""
    ranges = _merged([(ord(low), ord(high)) for low, high in node.ranges])
    if node.negated:
        ranges = _without([(0, _LAST)], ranges)
    raw = _without(ranges, list(_UNSAYABLE))
    escaped = [
        code
        for low, high in _ESCAPED
        for code in range(low, high + 1)
        if code and any(a <= code <= b for a, b in ranges)
    ]
    options = [f"[{''.join(_range(low, high) for low, high in raw)}]"] if raw else []
    options += [_literal(_SHORT_ESCAPES.get(code, f"\\u{code:04x}")) for code in escaped]
    if not options:
        msg = "pattern: a character class matches nothing that an answer may hold"
        raise PatternError(msg)
    return options[0] if len(options) == 1 else f"({' | '.join(options)})"


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _without(ranges: list[tuple[int, int]], holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    for bottom, top in holes:
        left = [(low, min(high, bottom - 1)) for low, high in ranges]
        right = [(max(low, top + 1), high) for low, high in ranges]
        ranges = sorted((low, high) for low, high in {*left, *right} if low <= high)
    return _merged(ranges)


def _range(low: int, high: int) -> str:
    return _code(low) if low == high else f"{_code(low)}-{_code(high)}"


def _code(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\U{code:08X}"


def _literal(text: str) -> str:
    escaped = "".join(
        char if char.isascii() and (char.isalnum() or char in " ,.:-_{}[]") else _code(ord(char)) for char in text
    )
    return f'"{escaped}"'
