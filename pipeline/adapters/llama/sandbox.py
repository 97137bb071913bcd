"""Where a chat template runs: a program of a stranger's that may reach nothing, and must end soon and small.

jinja's sandbox keeps it from Python's insides. What it leaves is counted here: rounds of loops, calls (a macro can call
itself twice) and the length of what is put together.
"""

from collections.abc import Iterable, Sized
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

_MOST_TIMES = 64
_MOST_BITS = 4096
_MOST_CHARS = 10_000
_MOST_ROUNDS = 100_000
_MOST_TEXT = 4 << 20
"""Longer than any window that a model has."""
_TOO_LARGE = "the template calculates with too large numbers"
_TOO_LONG = "the template makes too long a text, or too many rounds"
_PADDING = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
"""Methods of texts that make a long one of a number."""
_FILTERS = frozenset({"batch", "center", "format", "pprint", "random", "slice", "urlize", "wordwrap", "xmlattr"})
"""The same as filters, and what no prompt needs."""
_GLOBALS = frozenset({"cycler", "joiner", "lipsum"})


class BoundedSandbox(ImmutableSandboxedEnvironment):
    """Refuses what would take for ever or fill the memory."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        """Write as the templates of models expect it; markup is not escaped, as the result is a prompt, no page."""
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        self._rounds_left = self._chars_left = 0
        self.globals["range"] = self._range
        for name in _GLOBALS:
            self.globals.pop(name, None)
        for name in _FILTERS:
            self.filters[name] = _refuse  # when it is used: templates have branches that nobody takes

    def begin(self) -> None:
        """Give a rendering its rounds and its room."""
        self._rounds_left, self._chars_left = _MOST_ROUNDS, _MOST_TEXT

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return parsed

    def counted(self, values: Any) -> Any:  # noqa: ANN401 — a template's values
        """Return what a loop goes through, its rounds counted before the first."""
        if not isinstance(values, Sized) and isinstance(values, Iterable):
            values = list(values)
        self._take(len(values) if isinstance(values, Sized) else 0)
        return values

    def joined(self, *parts: Any) -> str:  # noqa: ANN401 — a template's values
        """Return what `~` puts together."""
        text = "".join(map(str, parts))
        self._grow(len(text))
        return text

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N805, PYI063 — as jinja has it
        """Call what the sandbox allows, so many times."""
        __self._take(0)
        method = getattr(__obj, "__wrapped__", __obj)  # jinja wraps `format`
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str):
            if name in _PADDING:
                raise TemplateError(_TOO_LARGE)
            if name in {"replace", "join", "translate"}:
                made = super().call(__context, __obj, *args, **kwargs)
                __self._grow(len(made))
                return made
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 — a template's values
        """Calculate with small numbers, repeat nothing often, and add up no endless text."""
        plain = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "+" and not plain:
            self._grow(_size(left) + _size(right))
        elif not plain and (operator in {"**", "%"} or _size(left) * _size(right) > _MOST_CHARS):
            raise TemplateError(_TOO_LARGE)  # of `%`: a format such as '%999999999d'
        elif plain and operator == "**" and max(abs(left), abs(right)) > _MOST_TIMES:
            raise TemplateError(_TOO_LARGE)
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _MOST_BITS:
            raise TemplateError(_TOO_LARGE)
        return super().call_binop(context, operator, left, right)

    def _range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        self._take(len(numbers))
        return numbers

    def _take(self, rounds: int) -> None:
        self._rounds_left -= rounds + 1
        if self._rounds_left < 0:
            raise TemplateError(_TOO_LONG)

    def _grow(self, chars: int) -> None:
        self._chars_left -= chars
        if self._chars_left < 0:
            raise TemplateError(_TOO_LONG)


class _Counting(NodeTransformer):
    """Has every loop and every `~` of a template counted."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 — as jinja has it
        self.generic_visit(node)
        node.iter = _asked("counted", [node.iter], node)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Call:  # noqa: N802 — as jinja has it
        self.generic_visit(node)
        return _asked("joined", list(node.nodes), node)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TemplateError(_TOO_LARGE)


def _asked(method: str, arguments: list[nodes.Node], node: nodes.Node) -> nodes.Call:
    called = nodes.Call(nodes.EnvironmentAttribute(method), arguments, [], None, None)
    called.set_lineno(node.lineno)
    return called


def _size(value: Any) -> int:  # noqa: ANN401 — a template's value
    return abs(value) if isinstance(value, int) else len(value) if hasattr(value, "__len__") else 1
