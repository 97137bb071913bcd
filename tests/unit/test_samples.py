"""The samples are complete, and their gold answers are ones that the tickets really support."""

import csv
import datetime as dt
import json
import re
import tomllib
from collections import Counter
from typing import Any

import pytest

from pipeline import samples
from pipeline.domain.errors import ConfigError

ORDER_ID = re.compile(r"\b[A-Z]{2}-[0-9]{4,}\b")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def tickets() -> dict[str, str]:
    """Return ticket id → text, rendered as the demo job's template does."""
    with samples.path("tickets.csv").open(encoding="utf-8", newline="") as file:
        return {row["ticket_id"]: f"{row['subject']}\n\n{row['body']}" for row in csv.DictReader(file, strict=True)}


def gold() -> dict[str, dict[str, Any]]:
    """Return ticket id → its gold answers."""
    lines = samples.path("tickets.gold.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line) for line in lines]
    assert len({answer["key"] for answer in answers}) == len(lines)
    return {answer["key"]: answer for answer in answers}


def job(name: str) -> dict[str, Any]:
    """Return a sample job as plain tables."""
    return tomllib.loads(samples.path(name).read_text(encoding="utf-8"))


def valid_tickets() -> dict[str, str]:
    return {key: text for key, text in tickets().items() if text.strip()}


def words_of(day: dt.date) -> set[str]:
    """Return the ways in which the tickets write a date, apart from ordinals in words."""
    return {day.isoformat(), f"{day.day} {MONTHS[day.month - 1]} {day.year}"}


def test_there_are_120_tickets_numbered_without_a_gap() -> None:
    assert list(tickets()) == [f"T-{number:04d}" for number in range(1, 121)]


def test_every_row_of_the_tickets_has_exactly_three_columns() -> None:
    with samples.path("tickets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows[0] == ["ticket_id", "subject", "body"]
    assert {len(row) for row in rows} == {3}


def test_exactly_one_ticket_is_empty_and_gold_covers_all_others() -> None:
    assert len(valid_tickets()) == 119
    assert list(gold()) == list(valid_tickets())


def test_gold_values_are_ones_that_the_demo_job_allows() -> None:
    category, details, _ = job("tickets.toml")["steps"]
    for answer in gold().values():
        assert set(answer) == {"key", "category", "details", "mood", "difficulty"}
        assert answer["category"] in category["labels"]
        assert set(answer["details"]) == set(details["fields"])
        assert answer["mood"] in {"negative", "neutral", "positive"}
        assert answer["difficulty"] in {"easy", "hard", "hostile"}
        amount = answer["details"]["amount"]
        assert amount is None or (isinstance(amount, int | float) and amount > 0)


def test_gold_order_numbers_match_the_pattern_and_occur_in_the_text() -> None:
    texts = tickets()
    found = {key: answer["details"]["order_id"] for key, answer in gold().items() if answer["details"]["order_id"]}
    assert len(found) >= 30
    for key, order_id in found.items():
        assert order_id in ORDER_ID.findall(texts[key]), key


def test_an_easy_ticket_names_at_most_the_one_order_of_its_gold() -> None:
    texts = tickets()
    for key, answer in gold().items():
        if answer["difficulty"] == "easy":
            order_id = answer["details"]["order_id"]
            assert set(ORDER_ID.findall(texts[key])) == ({order_id} if order_id else set()), key


def test_the_digits_of_gold_amounts_occur_in_the_text() -> None:
    texts = tickets()
    found = {key: answer["details"]["amount"] for key, answer in gold().items() if answer["details"]["amount"]}
    assert len(found) >= 20
    for key, amount in found.items():
        numbers = {re.sub(r"[.,]", "", number) for number in re.findall(r"[0-9][0-9.,]*", texts[key])}
        assert numbers & {f"{amount:g}", f"{amount:.2f}".replace(".", "")}, key


def test_gold_deadlines_are_dates_that_the_text_writes_out_with_their_year() -> None:
    texts = tickets()
    found = {key: answer["details"]["due"] for key, answer in gold().items() if answer["details"]["due"]}
    assert len(found) >= 20
    in_words = [
        key for key, due in found.items() if not any(w in texts[key] for w in words_of(dt.date.fromisoformat(due)))
    ]
    assert len(in_words) == 1
    assert "third of March 2026" in texts[in_words[0]]
    assert found[in_words[0]] == "2026-03-03"


def test_easy_hard_and_hostile_tickets_of_every_category_and_mood_are_there() -> None:
    answers = gold().values()
    assert Counter(answer["difficulty"] for answer in answers) == {"easy": 79, "hard": 30, "hostile": 10}
    assert min(Counter(answer["category"] for answer in answers).values()) >= 20
    assert min(Counter(answer["mood"] for answer in answers).values()) >= 10


def test_the_odd_kinds_of_text_are_there() -> None:
    texts = list(valid_tickets().values())
    assert sum(not text.isascii() for text in texts) >= 10
    assert any("<|im_start|>" in text and "<|im_end|>" in text for text in texts)
    assert any("ignore all previous instructions" in text.casefold() for text in texts)
    assert any(text.startswith("=") for text in texts)
    assert any(re.search(r"[\u3040-\u30ff]", text) for text in texts)
    assert any(not re.search(r"\w", text) for text in texts), "one is nothing but emoji"


def test_one_ticket_is_very_long_and_not_a_repetition() -> None:
    longest = max(tickets().values(), key=len)
    assert 19_000 <= len(longest) <= 21_000
    paragraphs = [line for line in longest.splitlines() if line]
    assert len(set(paragraphs)) == len(paragraphs)


def test_exactly_one_text_comes_twice_with_the_same_gold() -> None:
    texts = valid_tickets()
    twice = [text for text, count in Counter(texts.values()).items() if count > 1]
    assert len(twice) == 1
    answers = [{**gold()[key], "key": None} for key, text in texts.items() if text == twice[0]]
    assert len(answers) == 2
    assert answers[0] == answers[1]


def test_there_are_300_log_lines_none_of_them_empty() -> None:
    lines = samples.path("app.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 300
    assert all(line.strip() for line in lines)


@pytest.mark.parametrize("name", ["tickets.toml", "logs.toml"])
def test_both_jobs_name_the_same_two_tiers_and_a_threshold_for_the_first_only(name: str) -> None:
    tiers = job(name)["tiers"]
    assert [tier["name"] for tier in tiers] == ["small", "large"]
    assert ["accept_at" in tier for tier in tiers] == [True, False]


def test_the_columns_of_the_demo_job_are_those_of_its_tickets() -> None:
    demo = job("tickets.toml")
    assert demo["key"] == "ticket_id"
    assert set(re.findall(r"\{(\w+)\}", demo["text"])) == {"subject", "body"}


@pytest.mark.parametrize("name", ["nothing.csv", "__init__.py", "../__init__.py", ""])
def test_an_unknown_sample_is_an_error_that_lists_the_samples(name: str) -> None:
    with pytest.raises(ConfigError, match=r"app\.log, kinds\.toml, logs\.toml, night\.toml, tickets\.csv"):
        samples.path(name)
