"""The job file: what loads, and that every error names key, line, content and what is allowed."""

import contextlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.entry_points import load_entry_points
from pipeline.adapters.user_files import load_job
from pipeline.adapters.user_files.positions import Positions
from pipeline.domain.errors import ConfigError, JobError
from pipeline.domain.job import Job
from workers.lifecycle import read_job

SUPPORT = r"""
name = "support-tickets"
text = "{subject}\n\n{body}"
key  = "ticket_id"

[[steps]]
name = "category"
kind = "classify"
question = "What is this ticket about?"
[steps.labels]
billing   = "charges, invoices, refunds"
technical = "errors, outages, bugs"
account   = "sign-in, profile, permissions"
other     = "anything else"

[[steps]]
name = "details"
kind = "extract"
[steps.fields]
order_id = { type = "string", description = "order number as written", pattern = "[A-Z]{2}-[0-9]{4,}" }
amount   = { type = "number", description = "amount of money in dispute" }
due      = { type = "date" }

[[steps]]
name = "mood"
kind = "sentiment"

[[tiers]]
name = "small"
engine = "llama"
model = "qwen2.5-coder-0.5b-instruct"
accept_at = { default = 0.85, category = 0.9 }
[[tiers]]
name = "large"
engine = "openai"
model = "some-model"
base_url = "http://127.0.0.1:8000/v1"
api_key_env = "SOME_KEY"
on_unknown_confidence = "accept"
price = "some-price"
""".lstrip()


@pytest.mark.parametrize("written", ["[" * 100_000, "{}", "no json"])
def test_a_job_in_json_that_headrace_did_not_write_is_refused_by_name(tmp_path: Path, written: str) -> None:
    path = tmp_path / "job.json"
    with pytest.raises(ConfigError, match=r"job\.json cannot be read"):
        read_job(str(path))
    path.write_text(written, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"job\.json is no job that headrace wrote"):
        read_job(str(path))


def load(tmp_path: Path, text: str) -> str:
    """Return the job's digest."""
    path = tmp_path / "job.toml"
    path.write_text(text, encoding="utf-8")
    return load_job(path).digest


def message(tmp_path: Path, text: str) -> str:
    with pytest.raises(JobError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_the_job_of_the_readme_loads(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(SUPPORT, encoding="utf-8")
    job = load_job(path)
    assert [step.name for step in job.steps] == ["category", "details", "mood"]
    assert [tier.name for tier in job.tiers] == ["small", "large"]
    assert job.threshold(0, 0) == 0.9
    assert job.threshold(2, 0) == 0.85
    assert job.threshold(2, 1) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [("default = 0.85", 'default = "0.85"'), ('engine = "llama"', 'engine = "llama"\ncontext_tokens = "4096"')],
)
def test_a_number_in_quotes_is_no_number(tmp_path: Path, old: str, new: str) -> None:
    said = message(tmp_path, SUPPORT.replace(old, new))
    assert "number" in said or "integer" in said


def test_what_means_the_same_has_the_same_digest(tmp_path: Path) -> None:
    respelled = "# a comment\n" + SUPPORT.replace("key  =", "key =").replace('"sentiment"', "'sentiment'")
    assert load(tmp_path, respelled) == load(tmp_path, SUPPORT)
    assert load(tmp_path, SUPPORT.replace("\n", "\r\n")) == load(tmp_path, SUPPORT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("about?", "about, mostly?"),
        ("0.9 }", "0.91 }"),
        ('key  = "ticket_id"\n', ""),
        ('due      = { type = "date" }', 'due      = { type = "date", description = "x" }'),
        (
            'technical = "errors, outages, bugs"\naccount   = "sign-in, profile, permissions"\n',
            'account   = "sign-in, profile, permissions"\ntechnical = "errors, outages, bugs"\n',
        ),
    ],
    ids=["question", "threshold", "key", "field", "label order"],
)
def test_any_change_of_meaning_changes_the_digest(tmp_path: Path, old: str, new: str) -> None:
    assert SUPPORT.count(old) == 1
    assert load(tmp_path, SUPPORT.replace(old, new)) != load(tmp_path, SUPPORT)


@pytest.mark.parametrize(
    ("old", "new", "where", "content", "said"),
    [
        (
            'kind = "sentiment"',
            'kind = "sentimnt"',
            "steps.mood.kind",
            'kind = "sentimnt"',
            "did you mean `sentiment`?",
        ),
        ('kind = "sentiment"\n', "", "steps.mood", "[[steps]]", "allowed: classify, extract, sentiment"),
        ("key  =", "kye  =", "kye", 'kye  = "ticket_id"', "did you mean `key`?; allowed: name, text, key, steps"),
        ("question =", "qestion =", "steps.category.qestion", "qestion =", "did you mean `question`?; allowed: name,"),
        (
            '"number", d',
            '"number", mini = 1, d',
            "steps.details.fields.amount.mini",
            "amount ",
            "allowed: type, descri",
        ),
        (
            'type = "date"',
            'type = "dat"',
            "steps.details.fields.due.type",
            "due ",
            "did you mean `date`?; allowed: str",
        ),
        ("[A-Z]{2}", "(?=A)", "steps.details.fields.order_id.pattern", "order_id =", "is not supported"),
        ('engine = "llama"\n', "", "tiers.small.engine", "[[tiers]]", "is missing; add it"),
        (
            'engine = "llama"',
            'engine = "lama"',
            "tiers.small.engine",
            'engine = "lama"',
            "allowed: llama, openai, classical, instant",
        ),
        ("category = 0.9", "catgory = 0.9", "tiers.small.accept_at", "accept_at =", "allowed: category, default, det"),
        ("default = 0.85", "default = 8.5", "tiers.small.accept_at.default", "accept_at =", "less than or equal to"),
        ('"SOME_KEY"', '"some key"', "tiers.large.api_key_env", "api_key_env = ***", "should match pattern"),
        ('name = "large"', 'name = "small"', "tiers", "[[tiers]]", "every name must be different"),
        ("key  =", 'redact = ["fone"]\nkey  =', "redact[0]", "redact =", "allowed: email, phone, card, ssn, iban, ip"),
        ("support-tickets", "Support", "name", 'name = "Support"', "(a-z, 0-9 and -)"),
        ("{subject}", "{}", "text", "text =", "plain {column} places"),
        ('kind = "sentiment"', 'kind = "sentiment"\nladder = ["big"]', "steps.mood.ladder", "ladder =", "small, large"),
        (
            'kind = "sentiment"',
            'kind = "sentiment"\nexamples = [{ text = "t", answer = "x" }]',
            "steps.mood.examples[0]",
            "examples =",
            "negative, neutral, positive",
        ),
        (
            'kind = "sentiment"',
            'kind = "sentiment"\n[[steps.checks]]\nkind = "range"\nminimum = 1',
            "steps.mood.checks",
            "[[steps.checks]]",
            "a range needs numbers",
        ),
        (
            'kind = "sentiment"',
            'kind = "sentiment"\n[[steps.checks]]\nkind = "pattern"\npattern = "("',
            "steps.mood.checks[0].pattern",
            'pattern = "("',
            "is not supported",
        ),
    ],
)
def test_an_error_names_key_line_content_and_remedy(
    tmp_path: Path, old: str, new: str, where: str, content: str, said: str
) -> None:
    assert SUPPORT.count(old) == 1
    changed = SUPPORT.replace(old, new)
    text = message(tmp_path, changed)
    assert "1 error\n" in text
    _, told, shown = text.split("\n")
    number, quoted = shown.split(" | ")
    assert told.startswith(f"  line {number.strip()}, {where}: ")
    assert said in told
    assert quoted.startswith(content)
    assert "***" in quoted or quoted == changed.splitlines()[int(number) - 1]


def test_all_errors_are_listed_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    wrong = SUPPORT.replace('key  = "ticket_id"', "key = 5").replace('"date"', '"dat"').replace('"llama"', '"x"')
    lines = [line for line in message(tmp_path, wrong).split("\n") if line.startswith("  line ")]
    assert [line.split(":")[0] for line in lines] == [
        "  line 3, key",
        "  line 21, steps.details.fields.due.type",
        "  line 29, tiers.small.engine",
    ]


def test_a_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    text = message(tmp_path, SUPPORT.replace('kind = "sentiment"', "kind = sentiment"))
    assert "no valid TOML" in text
    assert "  line 25: Invalid value\n    25 | kind = sentiment" in text


def test_a_text_that_ends_too_early_names_the_last_line(tmp_path: Path) -> None:
    assert "  line 2: " in message(tmp_path, 'name = "x"\nsteps = [')


def test_what_looks_like_a_secret_is_masked(tmp_path: Path) -> None:
    wrong = SUPPORT.replace('api_key_env = "SOME_KEY"', 'api_key = "sk-4711"').replace(
        '"http://127.0.0.1:8000/v1"', '["http://me:s3cret@127.0.0.1"]'
    )
    text = message(tmp_path, wrong)
    assert "did you mean `api_key_env`?" in text
    assert "4711" not in text
    assert "s3cret" not in text


@pytest.mark.parametrize("number", ["1" * 5000, "1_" * 3000 + "1", "-" + "9" * 400, "0x" + "f" * 5000, str(2**63)])
@pytest.mark.parametrize(
    ("old", "place"),
    [
        ("flush_after_s = 1", "flush_after_s = {}"),
        ("amount = 1", "amount = {}"),
        ("amount = 1", "amount = [[1], [{}]]"),
    ],
    ids=["key", "example", "list in an example"],
)
def test_an_integer_of_more_than_64_bits_is_an_error_with_its_line(
    tmp_path: Path, number: str, old: str, place: str
) -> None:
    example = 'text = "Pay 1."\nanswer.amount = 1\n'
    job = "flush_after_s = 1\n" + SUPPORT.replace("[steps.fields]", f"[[steps.examples]]\n{example}[steps.fields]")
    load(tmp_path, job)
    text = message(tmp_path, job.replace(old, place.format(number)))
    line = next(line for line, content in enumerate(job.split("\n"), 1) if old in content)
    assert f"a number that is too long\n  line {line}: an integer has at most 64 bits" in text
    assert len(text) < 1000


MORE = """
[[steps]]
name = "tags"
kind = "multilabel"
labels = ["a", "b"]
examples = [{ text = "t", answer = ["a"] }]
ladder = ["small"]
[[steps.checks]]
kind = "python"
entry_point = "a:b"
[[tiers]]
name = "third"
engine = "llama"
model = "m"
threads = 1
fuse = true
timeout_s = 1.0
"""
PYTHON_WORDS = re.compile(r"tuple|dict|instance|object|None|unix|Decimal|Input|parse|interpret|after validation")


@pytest.mark.parametrize(
    "wrong", ['"x"', '""', "5", "-5", "1.5", "nan", "true", "[]", "{}", "[1]", "{ a = 1 }", "[[]]", "2026-01-01"]
)
def test_what_is_wrong_is_said_in_words_of_toml_and_not_of_python(tmp_path: Path, wrong: str) -> None:
    lines = (SUPPORT + MORE).split("\n")
    load(tmp_path, SUPPORT + MORE)
    said = set[str]()
    for number, line in enumerate(lines):
        key, sign, _ = line.partition(" = ")
        if sign:
            with contextlib.suppress(AssertionError, pytest.fail.Exception):
                changed = [*lines[:number], f"{key} = {wrong}", *lines[number + 1 :]]
                said.update(message(tmp_path, "\n".join(changed)).split("\n"))
    told = [one for one in said if one.startswith("  line ")]
    assert told
    assert not [one for one in told if PYTHON_WORDS.search(one)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('question = "What is this ticket about?"\n', "ladder = 1\n", "steps.category.ladder: should be a list"),
        ("[steps.fields]", "[steps.fields]\nsum = 5", "steps.details.fields.sum: should be a table"),
        ('{ type = "date" }', '{ type = "date", kopy = true }', "did you mean `copy`?"),
        (
            '{ type = "date" }',
            '{ type = "date", copy = "yes" }',
            "steps.details.fields.due.copy: should be true or false",
        ),
        ('{ type = "date" }', '{ type = "date", copy = 1 }', "steps.details.fields.due.copy: should be true or false"),
        (
            'engine = "llama"',
            'engine = "llama"\nreproducible = "true"',
            "tiers.small.reproducible: should be true or false",
        ),
        (
            'engine = "llama"',
            'engine = "llama"\nfuse = "yes"',
            "tiers.small.fuse: not allowed; allowed: auto, true, false",
        ),
        (
            'engine = "llama"',
            'engine = "llama"\nfuse = "maybe"',
            "tiers.small.fuse: not allowed; allowed: auto, true, false",
        ),
        (
            'name = "support-tickets"',
            'name = "x"\nflush_after_s = inf',
            "flush_after_s: should be less than or equal to",
        ),
        (
            'name = "support-tickets"',
            'name = "x"\non_suspicious = "refuse"',
            "on_suspicious: not allowed; allowed: escalate, accept",
        ),
    ],
)
def test_an_error_says_what_the_file_takes(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert SUPPORT.count(old) == 1
    text = message(tmp_path, SUPPORT.replace(old, new))
    assert said in text
    assert "1 error\n" in text


@pytest.mark.parametrize("said", ["true", "false"])
def test_true_and_false_load_from_the_file_and_from_the_json_that_a_run_keeps(tmp_path: Path, said: str) -> None:
    path = tmp_path / "job.toml"
    text = SUPPORT.replace('engine = "llama"', f'engine = "llama"\nfuse = {said}\nreproducible = {said}')
    path.write_text(text.replace('{ type = "date" }', f'{{ type = "date", copy = {said} }}'), encoding="utf-8")
    job = load_job(path)
    assert (job.tiers[0].fuse, job.tiers[0].reproducible) == (said == "true",) * 2
    kept = Job.model_validate_json(job.model_dump_json())
    assert (kept, kept.digest) == (job, job.digest)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"[" * 5000, b"x = 1\n" * 3])
def test_any_other_bytes_are_an_error_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "job.toml"
    path.write_bytes(content)
    with pytest.raises(JobError, match=r"job file .*job\.toml"):
        load_job(path)


def test_a_chat_template_beside_the_job_file_becomes_part_of_the_job(tmp_path: Path) -> None:
    text = SUPPORT.replace('model = "qwen2.5-coder-0.5b-instruct"', 'model = "q"\nchat_template = "my/own.jinja"')
    (tmp_path / "my").mkdir()
    template = tmp_path / "my" / "own.jinja"
    template.write_text("{{ messages[0].content }}")
    before = load(tmp_path, text)
    assert load_job(tmp_path / "job.toml").tiers[0].chat_template == "{{ messages[0].content }}"
    template.write_text("{{ messages[0].content }}!")
    assert load(tmp_path, text) != before, "another template asks another question"
    template.write_text("no template")
    assert "tiers.small.chat_template" in message(tmp_path, text)
    template.unlink()
    assert "own.jinja cannot be read: No such file" in message(tmp_path, text)


def test_a_missing_file_or_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="No such file"):
        load_job(tmp_path / "none.toml")
    with pytest.raises(JobError, match="directory"):
        load_job(tmp_path)


def test_keys_are_found_wherever_toml_lets_them_stand() -> None:
    text = '''# [steps]
a.b = 1
"quoted key" = """
[steps]
c = 2"""  # text, not keys
list = [
  { x = 1 }, # ]
  "]",
]

[[steps]]
name = 'literal # no comment'
[steps.labels]
"\\u00e9" = "x"
[[steps.checks]]
kind = "a"
[[steps.checks]]
kind = "b"
[[steps]]
name = "[second]"
  [ steps . labels ]
  y = { z = [
    1 ] }
'''
    assert tomllib.loads(text)
    find = Positions(text).line
    assert find(("a",)) == find(("a", "b")) == 2
    assert find(("quoted key",)) == 3
    assert find(("list",)) == find(("list", 0, "x")) == 6
    assert find(("steps",)) == find(("steps", 0)) == 11
    assert find(("steps", 0, "name")) == 12
    assert find(("steps", 0, "labels", "é")) == 14
    assert find(("steps", 0, "checks", 1, "kind")) == 18
    assert find(("steps", 1, "name")) == 20
    assert find(("steps", 1, "labels")) == 21
    assert find(("steps", 1, "labels", "y", "z", 0)) == 22
    assert find(("absent", 4, "x")) == 1


@given(text=st.text(st.sampled_from("ab.= \n[]{}\"'#,1\\"), max_size=40))
def test_whatever_toml_accepts_can_be_searched(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for key in data:
        assert 1 <= Positions(text).line((key,)) <= text.count("\n") + 1


PYTHON_CHECK = 'kind = "sentiment"\nchecks = [{ kind = "python", entry_point = "%s" }]'


def test_a_users_own_check_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_checks_of_a_user.py").write_text("def short(value, text):\n    return len(text) < 5\n")
    path = tmp_path / "job.toml"
    path.write_text(SUPPORT.replace('kind = "sentiment"', PYTHON_CHECK % "own_checks_of_a_user:short"))
    loaded = load_entry_points(load_job(path))
    assert list(loaded) == ["own_checks_of_a_user:short"]
    assert loaded["own_checks_of_a_user:short"]("x", "1234") is True


@pytest.mark.parametrize(
    ("entry_point", "said"),
    [
        ("no_such_module_anywhere:f", "can't be imported"),
        ("broken_checks_of_a_user:f", r"can't be imported \(ZeroDivisionError\)"),
        ("json:no_such_function", "has no no_such_function"),
        ("json:__name__", "can't be called"),
    ],
)
def test_a_check_that_cannot_be_loaded_is_an_error_that_names_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry_point: str, said: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_checks_of_a_user.py").write_text("1 / 0\n")
    path = tmp_path / "job.toml"
    path.write_text(SUPPORT.replace('kind = "sentiment"', PYTHON_CHECK % entry_point))
    with pytest.raises(ConfigError, match=rf"steps\.mood\.checks: {entry_point}: .*{said}"):
        load_entry_points(load_job(path))


def test_a_job_keeps_its_digest_from_release_to_release() -> None:
    """The same command finds its run again after an upgrade, and does not pay for everything twice."""
    said = {
        "name": "tickets",
        "steps": [{"name": "mood", "kind": "sentiment"}],
        "tiers": [{"name": "small", "engine": "instant", "model": "m"}],
    }
    job = Job.model_validate(said)
    assert job.digest == Job.model_validate({**said, "text": "{text}", "local_only": False}).digest
    assert job.digest[:16] == "d60a45f031d0a2c2"
