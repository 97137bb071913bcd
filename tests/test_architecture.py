"""What keeps the house in order: the import contracts, and rules that no linter knows.

Each rule is one sentence with a sample that breaks it and one that keeps it, so that none can be green for nothing.
"""

import ast
import configparser
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "workers", "migrations")
LONGEST_MODULE = 400
LONGEST_TEST = 500
BANNED_MODULES = frozenset({"utils", "helpers", "common", "manager", "base", "misc"})
BANNED_VERBS = re.compile(r"_*(process|handle)(_|$)")
# In pieces: this file is searched too.
REGISTRIES = tuple(f"{name}.org" for name in ("pypi", "pythonhosted", "npmjs", "deb.debian"))
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root)/")
TOOLS = tuple(
    "".join(parts) for parts in (("farm-", "bench"), ("farm-", "studio"), ("find_", "repos"), (".lib", "rary/"))
)
IMPURE_MODULES = frozenset(
    {"os", "io", "sys", "time", "random", "secrets", "logging", "pathlib", "socket", "subprocess", "tempfile", "urllib"}
)
IMPURE_CALLS = frozenset({"open", "print", "input"})
CLOCK_CALLS = frozenset({"now", "today", "utcnow"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of the project; `path` is relative, with forward slashes."""

    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without ends."""
        return self.text.splitlines()

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node, when the file is Python."""
        return list(ast.walk(ast.parse(self.text))) if self.path.endswith(".py") else []

    @property
    def room(self) -> str:
        """The top-level folder."""
        return PurePosixPath(self.path).parts[0]


Found = Iterator[tuple[int, str]]  # line, what is wrong there


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A sentence, what checks it, and (path, text) of a file that breaks it and of one that keeps it."""

    says: str
    check: Callable[[Source], Found]
    bad: tuple[str, str]
    good: tuple[str, str]


def reads_environment(source: Source) -> Found:
    if source.room not in PACKAGES or source.path == "pipeline/settings.py":
        return
    # A worker's parent writes one variable for its children; `settings` owns its name and reads it.
    written = {
        id(node.value)
        for node in source.nodes
        if source.path == "workers/__main__.py" and isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    for node in source.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" | "environb") if (
                id(node) not in written
            ):
                yield node.lineno, "reads the environment: pipeline/settings.py does that"
            case ast.ImportFrom(module="os", names=names) if {"environ", "getenv"} & {name.name for name in names}:
                yield node.lineno, "reads the environment: pipeline/settings.py does that"


def hides_imports(source: Source) -> Found:
    for node in source.nodes:
        match node:
            case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                yield node.lineno, "a TYPE_CHECKING block can hide an import cycle"


def imports_late(source: Source) -> Found:
    if source.room not in PACKAGES:
        return
    functions = [node for node in source.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {
        node.lineno: node
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    for number in late:
        first = number
        while first - 1 in late:
            first -= 1
        if not _reason(source.lines[number - 1]) and not source.lines[first - 2].lstrip().startswith("#"):
            yield number, "an import inside a function needs its reason in a comment, on the line or above"


def _reason(line: str) -> str:
    """Return what a line's comment says besides the codes that it waives."""
    _, _, comment = line.partition("#")
    return re.sub(r"noqa: [A-Z0-9, ]+|[\s#—-]", "", comment)


def is_too_long(source: Source) -> Found:
    limit = LONGEST_TEST if source.room == "tests" else LONGEST_MODULE
    if source.path.endswith(".py") and len(source.lines) > limit:
        yield limit, f"{len(source.lines)} lines, {limit} are allowed: split it by concern"


def is_named_for_nothing(source: Source) -> Found:
    names = {part.removesuffix(".py") for part in PurePosixPath(source.path).parts}
    if source.path.endswith(".py") and names & BANNED_MODULES:
        yield 1, "a module's name says what it is for"


def says_nothing(source: Source) -> Found:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and BANNED_VERBS.match(node.name):
            yield node.lineno, f"{node.name}: a verb that says what is done"


def is_impure(source: Source) -> Found:
    if not source.path.startswith("pipeline/domain/"):
        return
    for node in source.nodes:
        match node:
            case ast.Import(names=names) if impure := IMPURE_MODULES & {name.name.split(".")[0] for name in names}:
                yield node.lineno, f"the domain imports {', '.join(sorted(impure))}"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in IMPURE_MODULES:
                yield node.lineno, f"the domain imports {module}"
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield node.lineno, f"the domain calls {name}()"
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK_CALLS:
                yield node.lineno, f"the domain asks for the time: .{name}()"


def lacks_docstring(source: Source) -> Found:
    if source.path.endswith(".py") and not ast.get_docstring(ast.parse(source.text)):
        yield 1, "a module's docstring says what the room is for"


def names_a_place(source: Source) -> Found:
    for number, line in enumerate(source.lines, 1):
        if any(host in line for host in REGISTRIES):
            yield number, "names a package registry's host"
        if MACHINE_PATH.search(line):
            yield number, "names a path of the machine that it was written on"


def names_a_tool(source: Source) -> Found:
    for number, line in enumerate(source.lines, 1):
        if any(tool in line for tool in TOOLS):
            yield number, "names a tool of the workplace that it was written at"


RULES = (
    Rule(
        says="only settings reads the environment",
        check=reads_environment,
        bad=("workers/__main__.py", "import os\nhome = os.environ['HOME']\n"),
        good=("workers/__main__.py", "import os\nos.environ['HEADRACE_ASSIGNMENT'] = 'small'\n"),
    ),
    Rule(
        says="no import is hidden from the run time",
        check=hides_imports,
        bad=("pipeline/flow/x.py", "import typing\nif typing.TYPE_CHECKING:\n    import os\n"),
        good=("pipeline/flow/x.py", "import typing\n"),
    ),
    Rule(
        says="an import inside a function has its reason",
        check=imports_late,
        bad=("pipeline/flow/x.py", "def f():\n    x = 1\n    import numpy  # noqa: PLC0415\n"),
        good=("pipeline/flow/x.py", "def f():\n    # Slow.\n    import numpy\n    import os\n"),
    ),
    Rule(
        says="a module stays short",
        check=is_too_long,
        bad=("pipeline/flow/x.py", "x = 1\n" * (LONGEST_MODULE + 1)),
        good=("tests/unit/test_x.py", "x = 1\n" * LONGEST_TEST),
    ),
    Rule(
        says="a module's name says what it is for",
        check=is_named_for_nothing,
        bad=("pipeline/utils/x.py", ""),
        good=("pipeline/flow/common_labels.py", ""),
    ),
    Rule(
        says="a function's verb says what it does",
        check=says_nothing,
        bad=("workers/x.py", "def _process_chunk():\n    pass\n"),
        good=("workers/x.py", "def processed():\n    pass\n"),
    ),
    Rule(
        says="the domain is pure",
        check=is_impure,
        bad=("pipeline/domain/x.py", "from datetime import datetime\nmade = datetime.now()\n"),
        good=("pipeline/domain/x.py", "import datetime as dt\nday = dt.date(2026, 1, 1)\n"),
    ),
    Rule(
        says="the domain reads no file",
        check=is_impure,
        bad=("pipeline/domain/x.py", "text = open('x').read()\n"),
        good=("pipeline/adapters/x.py", "text = open('x').read()\n"),
    ),
    Rule(
        says="the domain draws no lots",
        check=is_impure,
        bad=("pipeline/domain/x.py", "import random\n"),
        good=("pipeline/domain/x.py", "import math\n"),
    ),
    Rule(
        says="every module says what it is for",
        check=lacks_docstring,
        bad=("pipeline/flow/x.py", "import os\n"),
        good=("pipeline/flow/x.py", '"""Says."""\n'),
    ),
    Rule(
        says="no package registry is named",
        check=names_a_place,
        bad=("Makefile", f"pip install --index-url https://{REGISTRIES[0]}/simple\n"),
        good=("Makefile", "pip install headrace\n"),
    ),
    Rule(
        says="no path of the author's machine is named",
        check=names_a_place,
        bad=("README.md", "cd /{}/main\n".format("work")),
        good=("README.md", "ls ./work/main ../shared/work/x\n"),
    ),
    Rule(
        says="no tool of the author's is named",
        check=names_a_tool,
        bad=("README.md", f"measured with {TOOLS[0]}\n"),
        good=("README.md", "measured with tests/bench\n"),
    ),
)
EACH_RULE = pytest.mark.parametrize("rule", RULES, ids=[rule.says for rule in RULES])


@pytest.fixture(scope="module")
def tree() -> list[Source]:
    """Every text file that git tracks, or would if asked."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    files = [(name, ROOT / name) for name in sorted(set(names)) if name and (ROOT / name).is_file()]
    return [Source(path=name, text=path.read_text(encoding="utf-8", errors="replace")) for name, path in files]


def broken(rule: Rule, *sources: Source) -> list[str]:
    return [f"{source.path}:{line}: {what}" for source in sources for line, what in rule.check(source)]


@EACH_RULE
def test_the_tree_keeps_the_rule(rule: Rule, tree: list[Source]) -> None:
    assert len(tree) > len(RULES)
    assert broken(rule, *tree) == []


@EACH_RULE
def test_the_rule_sees_what_breaks_it_and_lets_pass_what_does_not(rule: Rule) -> None:
    bad, good = (Source(path=path, text=text) for path, text in (rule.bad, rule.good))
    assert broken(rule, bad)
    assert broken(rule, good) == []


def lint_imports(folder: Path) -> tuple[int, str]:
    """Return the exit status, and the output on one line."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    return done.returncode, " ".join(f"{done.stdout} {done.stderr}".split())


def contracts() -> list[str]:
    """Return the contracts' sentences."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    return [config[section]["name"] for section in config.sections() if section != "importlinter"]


def test_the_tree_keeps_the_import_contracts() -> None:
    status, output = lint_imports(ROOT)
    assert status == 0, output


def test_every_import_contract_can_be_broken(tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    outside = (
        "celery",
        "click",
        "huggingface_hub",
        "llama_cpp",
        "openai",
        "psycopg",
        "pyarrow",
        "sklearn",
        "sqlalchemy",
        "tomlkit",
    )
    wrong = {
        "pipeline/adapters/wrong.py": ["pipeline.adapters.instant"],
        "pipeline/cli/wrong.py": ["pipeline.adapters.instant"],
        "pipeline/domain/wrong.py": ["pipeline.wiring", "redis"],
        "pipeline/flow/wrong.py": ["pipeline.samples", *outside],
        "pipeline/samples/wrong.py": ["pipeline.ports"],
        "migrations/wrong.py": ["pipeline.flow"],
    }
    for name, imported in wrong.items():
        (tmp_path / name).write_text("".join(f"import {module}\n" for module in imported), encoding="utf-8")
    status, output = lint_imports(tmp_path)
    assert status == 1
    assert [name for name in contracts() if f"{name} BROKEN" not in output] == []
