"""Placeholders for personal values: there and back, in texts, in forms and in a job."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.domain.answers import Fields, Label, Malformed
from pipeline.domain.fields import FieldSpec
from pipeline.domain.job import Job
from pipeline.domain.personal import KINDS, personal_in
from pipeline.domain.redaction import opened, redacted, restored_answer
from pipeline.domain.steps import Choice, Record

TEXT = "mia@example.com wrote: mia@example.com or +1 555 014 2368, not leo@example.com"


def test_the_same_value_has_the_same_number_and_each_kind_counts_for_itself() -> None:
    gone = redacted(TEXT, KINDS)
    assert gone.text == "[EMAIL 1] wrote: [EMAIL 1] or [PHONE 1], not [EMAIL 2]"
    assert gone.values == {
        "[EMAIL 1]": "mia@example.com",
        "[PHONE 1]": "+1 555 014 2368",
        "[EMAIL 2]": "leo@example.com",
    }


def test_a_value_is_replaced_where_no_rule_would_know_it_again() -> None:
    gone = redacted("SSN 4821. The order of the parts which you list in the long form is 4821 and not 48210.", ["ssn"])
    assert gone.text == "SSN [SSN 1]. The order of the parts which you list in the long form is [SSN 1] and not 48210."


def test_a_placeholder_that_the_text_holds_stands_for_nothing() -> None:
    text = "I see [EMAIL 1] instead of mia@example.com"
    gone = redacted(text, ["email"])
    assert gone.text == "I see [EMAIL 1] instead of [EMAIL 2]"
    assert gone.restored(gone.text) == text


def test_a_placeholder_is_understood_without_its_brackets_unless_the_text_says_just_that() -> None:
    gone = redacted(TEXT, KINDS)
    assert [gone.restored(said) for said in ("EMAIL 1", "email_2", "[phone 1]", "EMAIL 9", "from [EMAIL 1]")] == [
        "mia@example.com",
        "leo@example.com",
        "+1 555 014 2368",
        "EMAIL 9",
        "from mia@example.com",
    ]
    assert redacted("Card 1 is 4111111111111111", ["card"]).restored("Card 1") == "Card 1"


def test_what_was_redacted_is_not_shown_by_accident() -> None:
    assert "mia" not in repr(redacted(TEXT, KINDS))


PIECES = st.sampled_from(
    [
        "mia",
        "leo",
        "@example.com",
        "gmailcom",
        "4821",
        "5550142368",
        "-",
        " ",
        "(",
        ")",
        "+",
        "ssn ",
        "219-09-9999",
        "4111 1111 1111 1111",
        "::1",
        "10.0.0.1",
        "4.11E+15",
        "\n",
        "[EMAIL 1]",
        "[NUMBER 2]",
        "[",
        "]",
        "EMAIL",
        ". ",
        "é",
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join))


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_there_and_back_is_where_one_was(text: str) -> None:
    gone = redacted(text, KINDS)
    assert gone.restored(gone.text) == text


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_no_value_that_was_found_stands_in_what_is_sent(text: str) -> None:
    gone = redacted(text, KINDS)
    sent = gone.text
    for name in gone.values:
        sent = sent.replace(name, "\n")
    for one in personal_in(text, KINDS):
        value, at = text[one.start : one.end], -1
        while (at := sent.find(value, at + 1)) >= 0:  # a part of another word or number is no value
            assert sent[max(0, at - 1) : at].isalnum() or sent[at + len(value) :][:1].isalnum()


FIELDS = Record(
    (
        ("mail", FieldSpec(type="string", pattern=r"^[a-z]+@[a-z.]+$")),
        ("all", FieldSpec(type="list", of="string", pattern=r"[^ ]+@[^ ]+")),
        ("count", FieldSpec(type="integer")),
    )
)


def answered(**values: Any) -> Any:  # noqa: ANN401 — as JSON has it
    answer = restored_answer(
        Fields({"mail": None, "all": None, "count": None, **values}), FIELDS, redacted(TEXT, KINDS)
    )
    return answer.detail if isinstance(answer, Malformed) else answer.value


def test_a_field_with_a_pattern_may_be_answered_by_a_placeholder() -> None:
    fields = opened(FIELDS).as_dict()  # type: ignore[union-attr]  # a record stays one
    assert fields["mail"].parse("[EMAIL 1]") == "[EMAIL 1]"
    assert fields["mail"].parse("leo@example.com") == "leo@example.com"
    with pytest.raises(ValueError, match="pattern"):
        fields["mail"].parse("leo")
    assert opened(Choice(("a", "b"))) == Choice(("a", "b"))


def test_a_pattern_too_long_for_a_second_way_is_asked_for_when_the_value_is_back() -> None:
    long = Record((("mail", FieldSpec(type="string", pattern="a?" * 249)),))
    assert opened(long).as_dict()["mail"].pattern is None  # type: ignore[union-attr]  # a record stays one


def test_an_answer_has_the_texts_own_values() -> None:
    assert answered(mail="[EMAIL 1]", all=("[EMAIL 2]", "x@y"), count=3) == {
        "mail": "mia@example.com",
        "all": ("leo@example.com", "x@y"),
        "count": 3,
    }


def test_what_is_restored_is_held_to_the_fields_own_pattern() -> None:
    assert answered(mail="[PHONE 1]") == "field mail does not match its pattern"
    assert answered(mail="[EMAIL 9]") == "field mail does not match its pattern"
    assert restored_answer(Label("[EMAIL 1]"), FIELDS, redacted(TEXT, KINDS)) == Label("[EMAIL 1]")


def job(**more: Any) -> Job:  # noqa: ANN401 — as a job file gives it
    tiers = [
        {"name": "small", "engine": "llama", "model": "m"},
        {"name": "near", "engine": "openai", "model": "m", "base_url": "http://127.0.0.1:8000/v1"},
        {"name": "far", "engine": "openai", "model": "m", "base_url": "https://api.example.com/v1"},
    ]
    return Job.model_validate({"name": "j", "steps": [{"name": "mood", "kind": "sentiment"}], "tiers": tiers, **more})


def test_only_a_tier_on_another_machine_sees_placeholders() -> None:
    kept = job(redact=["phone", "email", "email"])
    assert [kept.redacted_at(number) for number in range(3)] == [(), (), ("email", "phone")]
    assert job().redacted_at(2) == ()


def test_what_is_redacted_is_part_of_the_job_and_its_order_is_not() -> None:
    digests = [job(redact=kinds).digest for kinds in ([], ["email"], ["email", "card"], ["card", "email"])]
    assert digests[0] == job().digest
    assert len(set(digests)) == 3
    assert digests[2] == digests[3]
    assert job(redact=["email"]).questions_digest != job().questions_digest


def test_a_kind_that_nobody_knows_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(ValidationError, match="'email', 'phone', 'card', 'ssn', 'iban' or 'ip'"):
        job(redact=["emial"])
