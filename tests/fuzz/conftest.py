"""Fuzzing: whatever a file or message holds, a reader does its work or raises an error of ours, soon, in little room.

`make test` runs a few hundred examples of each target, always the same ones. With FUZZ_SECONDS in the environment, as
`make fuzz` sets it, each target gets its share of that time and other examples every time.
"""

import functools
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from pipeline.domain.errors import HeadraceError

Target: TypeAlias = Callable[..., object]
MOST_CPU_S = 5.0
MOST_GROWN_BYTES = 200 << 20
EXAMPLES = 200
_ROUND = 2_000
_ALL_CHECKS = list(HealthCheck)
_RUN_EXAMPLES: dict[str, int] = {}

settings.register_profile(
    "fuzz-short",
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=_ALL_CHECKS,
)
settings.register_profile(
    "fuzz",
    max_examples=_ROUND,
    database=None,
    deadline=None,
    suppress_health_check=_ALL_CHECKS,
    phases=[Phase.generate, Phase.shrink],
    verbosity=Verbosity.normal,
)


class TooSlowError(BaseException):
    """An example used more processor time than any file of its size should; no `except Exception` may hide it."""


def _too_slow(*_: object) -> NoReturn:
    raise TooSlowError


def _bounded(target: Target, /, **example: Any) -> None:  # noqa: ANN401 — an example's values
    """Run one example: errors of ours are right answers, time and memory are not to be had without end."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_CPU_S)
    try:
        target(**example)
    except HeadraceError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown <= MOST_GROWN_BYTES, f"one example took {grown >> 20} MB"


@pytest.fixture
def fuzzed(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Return what runs a target over examples of its strategies, as often as there is time."""
    before = signal.signal(signal.SIGVTALRM, _too_slow)
    name = request.node.name
    share_s = float(os.environ.get("FUZZ_SECONDS", "0")) / max(1, _targets(request))

    def run(target: Target, **strategies: Any) -> None:  # noqa: ANN401 — hypothesis' strategies
        counted = functools.partial(_counted, name, target)
        if not share_s:
            given(**strategies)(settings.get_profile("fuzz-short")(_named(counted)))()
            return
        until, number = time.monotonic() + share_s, 0
        while time.monotonic() < until:
            number += 1
            test = given(**strategies)(settings.get_profile("fuzz")(_named(_Round(until, counted))))
            seed(time.time_ns() + number)(test)()

    yield run
    signal.signal(signal.SIGVTALRM, before)


def _named(called: Callable[..., None], /) -> Callable[..., None]:
    """Return a function of its own: hypothesis marks what it runs."""

    def example(**values: Any) -> None:  # noqa: ANN401 — an example's values
        called(**values)

    return example


def _counted(name: str, target: Target, /, **example: Any) -> None:  # noqa: ANN401 — an example's values
    _RUN_EXAMPLES[name] = _RUN_EXAMPLES.get(name, 0) + 1
    _bounded(target, **example)


class _Round:
    """Examples until the time is over; one that failed is looked into to its end."""

    def __init__(self, until: float, counted: Callable[..., None]) -> None:
        self._until, self._counted, self._failing = until, counted, False

    def __call__(self, **example: Any) -> None:  # noqa: ANN401 — an example's values
        if not self._failing and time.monotonic() >= self._until:
            return
        try:
            self._counted(**example)
        except BaseException:
            self._failing = True
            raise


def _targets(request: pytest.FixtureRequest) -> int:
    return sum("fuzzed" in getattr(item, "fixturenames", ()) for item in request.session.items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many examples each target has seen."""
    if os.environ.get("FUZZ_SECONDS"):
        for name, count in sorted(_RUN_EXAMPLES.items()):
            terminalreporter.write_line(f"{count:>10,} examples  {name}")
