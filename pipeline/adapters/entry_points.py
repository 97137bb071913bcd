"""The user's own checks: the functions that `python` checks of a job name.

Loading one imports, and so runs, the user's code with the worker's rights. A job file is trusted by whoever runs it, as
a script would be: never run one from a stranger. A job from the database is not: whoever can write there names no code.
"""

import importlib
from collections.abc import Callable, Collection, Mapping

from pipeline.domain.checks import EntryPoint, PythonCheck
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job


def named_entry_points(job: Job) -> frozenset[str]:
    """Return those that a job names."""
    return frozenset(check.entry_point for step in job.steps for check in step.checks if isinstance(check, PythonCheck))


def loader_within(allowed: Collection[str]) -> Callable[[Job], Mapping[str, EntryPoint]]:
    """Return what loads a stored job's checks: only `allowed` ones, ConfigError and nothing imported for others."""

    def load(job: Job) -> Mapping[str, EntryPoint]:
        foreign = sorted(named_entry_points(job) - set(allowed))
        if foreign:
            msg = (
                f"the run's job names the check {foreign[0]}, which this worker's own job file does not: nothing was "
                "imported; start its workers with the run's job file, or name the check in HEADRACE_ALLOW_CHECKS"
            )
            raise ConfigError(msg)
        return load_entry_points(job)

    return load


def load_entry_points(job: Job) -> Mapping[str, EntryPoint]:
    """Return `package.module:function` → function for the job's `python` checks; raises ConfigError naming the step."""
    loaded: dict[str, EntryPoint] = {}
    for step in job.steps:
        for check in step.checks:
            if isinstance(check, PythonCheck) and check.entry_point not in loaded:
                loaded[check.entry_point] = _load(check.entry_point, step.name)
    return loaded


def _load(entry_point: str, step: str) -> EntryPoint:
    module_name, _, function_name = entry_point.partition(":")
    where = f"steps.{step}.checks: {entry_point}"
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise anything when it is imported
        msg = f"{where}: {module_name} can't be imported ({type(error).__name__}); install it or put it on PYTHONPATH"
        raise ConfigError(msg) from error
    function = getattr(module, function_name, None)
    if function is None:
        msg = f"{where}: {module_name} has no {function_name}; write a function (value, text) -> bool there"
        raise ConfigError(msg)
    if not callable(function):
        msg = f"{where}: {function_name} can't be called; make it a function (value, text) -> bool"
        raise ConfigError(msg)
    checked: EntryPoint = function
    return checked
