"""Tiers: from which confidence on they are believed, and which jobs may share a pool of workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.domain.tiers import DEFAULT_ACCEPT_AT, Tier


def tier(**keys: object) -> Tier:
    return Tier.model_validate({"name": "small", "engine": "llama", "model": "m", **keys})


def test_without_accept_at_a_tier_wants_the_default_and_the_last_one_nothing() -> None:
    assert tier().threshold("s", last=False) == DEFAULT_ACCEPT_AT
    assert tier().threshold("s", last=True) is None


@given(value=st.floats(0, 1))
def test_one_number_holds_for_every_step_on_the_last_tier_too(value: float) -> None:
    made = tier(accept_at=value)
    assert made.threshold("any", last=False) == made.threshold("other", last=True) == value


def test_a_steps_own_threshold_goes_before_the_default() -> None:
    made = tier(accept_at={"default": 0.5, "category": 0.9})
    assert made.threshold("category", last=False) == 0.9
    assert made.threshold("mood", last=False) == 0.5
    assert tier(accept_at={"category": 0.9}).threshold("mood", last=False) == DEFAULT_ACCEPT_AT


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), True, "high", {"default": 2}])
def test_a_threshold_is_a_probability(value: object) -> None:
    with pytest.raises(ValidationError):
        tier(accept_at=value)


@pytest.mark.parametrize("name", ["timeout_s", "gpu_layers", "threads", "max_text_tokens", "concurrency", "retries"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5, 10**12, 10**400], ids=lambda value: str(value)[:9])
def test_numbers_that_no_engine_can_work_with_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        tier(**{name: value})


@pytest.mark.parametrize(
    "keys",
    [
        {"engine": "magic"},
        {"name": "Big One"},
        {"model": ""},
        {"chunk_items": 0},
        {"context_tokens": 10},
        {"on_long": "explode"},
        {"on_unknown_confidence": "reject"},
        {"timeout_s": 0},
        {"concurrency": 0},
        {"api_key_env": "sk-1234"},
        {"api_key": "sk-1234"},
        {"engine": "classical", "model": "Not A Name"},
        {"engine": "classical", "learned": "words"},
        {"engine": "llama", "encoder": "all-minilm-l6-v2"},
        {"engine": "classical", "model": "words", "encoder": ""},
        {"engine": "classical", "model": "words", "max_text_tokens": 16},
        {"engine": "classical", "model": "words", "on_long": "reject"},
        {"engine": "openai", "learned": "words"},
        {"learned": "../words"},
    ],
)
def test_a_tier_outside_its_limits_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        tier(**keys)


@pytest.mark.parametrize("keys", [{"accept_at": 0.3}, {"price": "p"}, {"chunk_items": 7}, {"on_long": "reject"}])
def test_tiers_that_differ_in_what_no_worker_needs_to_know_share_a_pool(keys: dict[str, object]) -> None:
    assert tier(**keys).pool == tier().pool


@pytest.mark.parametrize(
    "keys", [{"model": "n"}, {"learned": "n"}, {"name": "large"}, {"gpu_layers": 9}, {"context_tokens": 512}]
)
def test_tiers_that_need_another_engine_have_a_pool_of_their_own(keys: dict[str, object]) -> None:
    assert tier(**keys).pool != tier().pool


def test_a_pool_is_named_after_its_tier() -> None:
    assert tier().pool.startswith("tier.small.")


def test_a_pool_keeps_its_name_from_release_to_release() -> None:
    """Chunks that are stored wait for it: another name for the same tier would leave them waiting for ever."""
    made = tier(model="qwen2.5-coder-0.5b-instruct")
    assert tier(model="qwen2.5-coder-0.5b-instruct", timeout_s=60.0).pool == made.pool
    assert made.pool == "tier.small.e4e42b90"


def test_limits_are_of_a_model_at_an_endpoint_under_a_key() -> None:
    def account(**keys: object) -> str:
        return tier(engine="openai", base_url="http://127.0.0.1:1/v1", **keys).account

    assert account(model="m") == account(model="m", name="large", concurrency=2, requests_per_minute=60)
    assert len({account(model="m"), account(model="n"), account(model="m", api_key_env="KEY")}) == 3
