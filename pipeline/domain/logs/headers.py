"""Headers of log lines: layouts known by name, detected from some lines of a file, and what they say of a line."""

import re
from collections.abc import Mapping
from typing import Final

from pipeline.domain.logs import json_lines
from pipeline.domain.logs.layouts import Header, Layout, Line
from pipeline.domain.logs.masks import Value

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?"
_ISO_DAY = r"\d{4}-\d{2}-\d{2}"
_LEVEL = (
    "(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL|ALERT|EMERG|FAILURE"
    "|trace|debug|info|notice|warn|warning|error|crit|alert|emerg|Info|Warning|Error)"
)
_TAG = r"(?P<component>[^\s:\[\]]+(?: [^\s:\[\]]+)?)(?:\[(?P<pid>[^\]\s]*)\])?(?: \(\[\d+\]\))?:"

_LAYOUTS: tuple[tuple[str, str], ...] = (
    (
        "supercomputer",  # alert flag, epoch, day, node, moment, node, facility, component, level
        (
            r"\S+ (?P<timestamp>\d{9,10}) (?P<date>\d{4}\.\d{2}\.\d{2}) (?P<node>\S+)"
            r" (?P<time>\d{4}-\d{2}-\d{2}-[\d.]+) (?P<noderepeat>\S+) (?P<type>\S+) (?P<component>\S+) (?P<level>\S+) "
        ),
    ),
    (
        "cluster-syslog",  # alert flag, epoch, day, host, then syslog's own
        (
            rf"\S+ (?P<timestamp>\d{{9,10}}) (?P<date>\d{{4}}\.\d{{2}}\.\d{{2}}) (?P<host>\S+) (?P<month>{_MONTH})"
            rf" +(?P<day>\d{{1,2}}) (?P<time>{_CLOCK}) (?P<location>\S+)(?: {_TAG})? ?"
        ),
    ),
    ("syslog", rf"(?P<month>{_MONTH}) +(?P<day>\d{{1,2}}) (?P<time>{_CLOCK}) (?P<host>\S+) (?:{_TAG} ?)?"),
    (
        "rfc5424",
        rf"<\d{{1,3}}>\d (?P<time>{_ISO_DAY}T\S+) (?P<host>\S+) (?P<component>\S+) (?P<pid>\S+) \S+ (?:-|\[.*?\]) ?",
    ),
    (
        "logcat",
        (
            rf"(?P<date>\d{{2}}-\d{{2}}) (?P<time>{_CLOCK}) +(?P<pid>\d+) +(?P<tid>\d+) (?P<level>[VDIWEFA])"
            r" (?P<component>[^:]*?) ?: ?"
        ),
    ),
    (
        "openstack",
        (
            rf"(?:(?P<file>\S+) )?(?P<date>{_ISO_DAY}) (?P<time>{_CLOCK}) (?P<pid>\d+) (?P<level>{_LEVEL})"
            r" (?P<component>\S+) \[(?P<request>[^\]]*)\] "
        ),
    ),
    (
        "log4j-dash",
        (
            rf"(?P<date>{_ISO_DAY}) (?P<time>{_CLOCK}) - (?P<level>{_LEVEL}) +\[(?P<thread>.*?):(?P<component>[^:@\]]+)"
            r"@(?P<line>\d+)\] - "
        ),
    ),
    (
        "log4j-thread",
        (
            rf"(?P<date>{_ISO_DAY}) (?P<time>{_CLOCK}) (?P<level>{_LEVEL}) +\[(?P<thread>[^\]]*(?:\][^\]:]*)?)\]"
            r" (?P<component>[\w.$]+): "
        ),
    ),
    (
        "logback",
        (
            rf"(?P<date>{_ISO_DAY})[ T](?P<time>{_CLOCK}) (?P<level>{_LEVEL}) +\[(?P<thread>[^\]]+)\]"
            r" (?P<component>[\w.$-]+) - "
        ),
    ),
    (
        "spring",
        (
            rf"(?P<time>{_ISO_DAY}[T ]{_CLOCK}(?:Z|[+-]\d{{2}}:?\d{{2}})?) +(?P<level>{_LEVEL}) (?P<pid>\d+) --- "
            r"(?:\[[^\]]*\] )?\[ *(?P<thread>[^\]]+)\] (?P<component>\S+) *: "
        ),
    ),
    (
        "python",
        rf"(?P<date>{_ISO_DAY}) (?P<time>{_CLOCK}) (?:- )?(?P<component>[\w.-]+) (?:- )?(?P<level>{_LEVEL}) (?:- )?",
    ),
    (
        "glog",
        (
            rf"(?P<level>[IWEF])(?P<date>\d{{4}}) (?P<time>{_CLOCK}) +(?P<pid>\d+)"
            r" (?P<component>[^\s:]+):(?P<line>\d+)\] "
        ),
    ),
    (
        "log4j",
        rf"(?P<date>{_ISO_DAY}|\d\d/\d\d/\d\d) (?P<time>{_CLOCK}) (?P<level>{_LEVEL}) +(?P<component>[\w.$-]+): ",
    ),
    (
        "hadoop",
        rf"(?P<date>\d{{6}}) (?P<time>\d{{6}}) (?P<pid>\d+) (?P<level>{_LEVEL}) (?P<component>[^\s:]+): ",
    ),
    ("servicing", rf"(?P<date>{_ISO_DAY}) (?P<time>{_CLOCK}), (?P<level>\w+) +(?P<component>\S+) +"),
    (
        "access",
        r"(?P<ip>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]+)\] ",
    ),
    (
        "apache-error",
        (
            rf"\[(?P<time>{_DAY} {_MONTH} +\d{{1,2}} {_CLOCK} \d{{4}})\] \[(?:(?P<component>\w+):)?(?P<level>\w+)\]"
            r"(?: \[pid (?P<pid>\d+)(?::tid \d+)?\])? "
        ),
    ),
    (
        "nginx-error",
        rf"(?P<date>\d{{4}}/\d{{2}}/\d{{2}}) (?P<time>{_CLOCK}) \[(?P<level>\w+)\] (?P<pid>\d+)#(?P<tid>\d+): ",
    ),
    ("bracketed", r"\[(?P<date>\d{1,2}\.\d{1,2}) (?P<time>\d{1,2}:\d{2}:\d{2})\] (?P<component>.+?) - "),
    ("barred", r"(?P<time>\d{8}-\d{1,2}:\d{1,2}:\d{1,2}:\d{1,3})\|(?P<component>[^|]*)\|(?P<pid>\d+)\|"),
    (
        "node-events",
        r"(?P<logid>\d+) (?P<node>\S+) (?P<component>\S+) (?P<state>\S+) (?P<time>\d{9,10}) (?P<flag>\d+) ",
    ),
    (
        "logfmt",
        (
            rf"(?:time|ts|t|timestamp)=\"?(?P<time>{_ISO_DAY}[T ]{_CLOCK}(?:Z|[+-]\d{{2}}:?\d{{2}})?)\"?"
            r"(?: (?:level|lvl|severity)=\"?(?P<level>\w+)\"?)? "
        ),
    ),
    (
        "iso",
        (
            rf"\[?(?P<time>{_ISO_DAY}[T ]{_CLOCK}(?:Z|[+-]\d{{2}}:?\d{{2}})?)\]?:?"
            rf"(?: [-|]?\s*\[?(?P<level>{_LEVEL})\]?:?)? +"
        ),
    ),
)
PLAIN: Final = "plain"
"""The name of no layout: the whole line is content."""


class PatternLayout(Layout):
    """A layout that is a regular expression."""

    told_by_shape = True

    def __init__(self, name: str, pattern: str) -> None:
        """Compile a pattern whose groups are named as the fields are."""
        self.name = name
        self._pattern = re.compile(pattern)
        self._names = tuple(self._pattern.groupindex)
        self.spans_lines = name != PLAIN

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that a header may have, in their order."""
        return self._names

    def header(self, text: str) -> Header | None:
        """Return what a line says; None for one that does not fit."""
        found = self._pattern.match(text)
        if found is None:
            return None
        said = found.groups()
        if all(said):
            return Header(dict(zip(self._names, said, strict=True)), text[found.end() :].rstrip())
        fields = {name: value for name, value in zip(self._names, said, strict=True) if value}
        return Header(fields, text[found.end() :].rstrip())

    def read(self, text: str) -> Line:
        """Read a line; one that does not fit is all content."""
        found = self._pattern.match(text)
        if found is None:
            return Line({}, 0, text)
        fields = {name: Value(name, *found.span(name)) for name, value in found.groupdict().items() if value}
        return Line(fields, found.end(), text)

    def fits(self, text: str) -> bool:
        """Whether a line begins as this layout says."""
        return self._pattern.match(text) is not None


LAYOUTS: Final[Mapping[str, Layout]] = {
    json_lines.NAME: json_lines.JsonLayout(),
    **{name: PatternLayout(name, pattern) for name, pattern in (*_LAYOUTS, (PLAIN, ""))},
}
