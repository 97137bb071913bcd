"""What a run will cost by a sample through its own cascade: against what it does cost, and what stays unknown."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline.domain.budget import Budget
from pipeline.domain.estimate import Estimate, reckoned_usd
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.pricing import Price, PriceBook
from pipeline.flow.estimate import estimated
from pipeline.ports.source import SourceOptions
from pipeline.settings import load_settings
from pipeline.wiring.estimating import tried
from pipeline.wiring.parts import system_clock
from pipeline.wiring.samples import drawn_items

ExitCode = Callable[..., int]
MOOD = {"name": "mood", "kind": "sentiment"}
TOPIC = {"name": "topic", "kind": "classify", "labels": ["billing", "other"]}
BOOK = PriceBook(
    prices=tuple(
        Price.model_validate({"name": name, "valid_from": "2020-01-01", **prices})
        for name, prices in {
            "cheap": {"usd_per_mtok_in": "1", "usd_per_mtok_out": "1"},
            "dear": {"usd_per_mtok_in": "10", "usd_per_mtok_out": "10"},
            "own": {"usd_per_hour": "1"},
        }.items()
    )
)


def tier(name: str, model: str, price: str | None = "cheap", **more: object) -> dict[str, Any]:
    return {"name": name, "engine": "instant", "model": model, "price": price, "chunk_items": 8, **more}


def endpoint(name: str, price: str | None = "dear") -> dict[str, Any]:
    return {"name": name, "engine": "openai", "model": name, "price": price}


def a_job(*tiers: dict[str, Any], **more: object) -> Job:
    return Job.model_validate({"name": "j", "steps": [MOOD, TOPIC], "tiers": tiers, **more})


def texts(count: int) -> list[Item]:
    """Return items of lengths that differ twentyfold."""
    return [Item(key=str(n), source="s", line=n, text=f"text {n} " * (1 + n % 20)) for n in range(count)]


def estimate(job: Job, items: list[Item], *, of: int | None = None, paid: bool = False) -> Estimate:
    settings = load_settings()
    trial = tried(job, items, BOOK, settings, paid=paid, clock=system_clock(), say=lambda _: None, show=lambda *_: None)
    return estimated(trial, items=of or len(items), seed=1)


def test_the_estimate_of_a_sample_that_is_the_whole_run_is_what_it_costs() -> None:
    job, items = a_job(tier("small", "score=0.1"), tier("large", "score=0.9", "dear")), texts(40)
    found = estimate(job, items)
    assert found.usd is not None
    assert found.usd_low == pytest.approx(found.usd)
    assert found.usd_high == pytest.approx(found.usd)
    assert [(one.tier, one.items) for one in found.tiers] == [("small", 40), ("large", 40)]
    small, large = (one.usd for one in found.tiers)
    assert small is not None
    assert large is not None
    assert (small * 10, small + large) == (large, found.usd)
    assert not found.at_least


def test_a_sample_is_scaled_up_and_its_interval_holds_the_cost_of_the_whole() -> None:
    job, items = a_job(tier("small", "score=0.9")), texts(400)
    whole, found = estimate(job, items).usd, estimate(job, items[::7], of=400)
    assert whole is not None
    assert found.usd_low is not None
    assert found.usd_high is not None
    assert found.usd_low < whole < found.usd_high
    assert found.tiers[0].items == 400
    assert found.tiers[0].calls == 55  # 8 chunks of 58 texts


def test_nine_intervals_in_ten_hold_what_the_whole_run_costs() -> None:
    job, items = a_job(tier("small", "score=0.1"), tier("large", "score=0.9", "dear")), texts(300)
    whole = estimate(job, items).usd
    assert whole is not None
    held = 0
    for seed in range(100):
        found = estimate(job, Random(seed).sample(items, 60), of=300)
        assert found.usd_low is not None
        assert found.usd_high is not None
        held += found.usd_low <= whole <= found.usd_high
    assert 83 <= held <= 97


def test_a_tier_that_no_item_of_the_sample_went_up_to_may_still_get_some() -> None:
    found = estimate(a_job(tier("small", "score=0.9"), tier("large", "score=0.9", "dear")), texts(100))
    assert (found.tiers[1].items, found.tiers[1].usd) == (0, Decimal(0))
    assert any("up to 3.0%" in note for note in found.notes)


def test_an_unknown_price_is_unknown_and_never_nothing() -> None:
    found = estimate(a_job(tier("small", "score=0.1"), tier("large", "score=0.9", None)), texts(10))
    assert (found.usd, found.usd_low, found.usd_high) == (None, None, None)
    assert found.tiers[0].usd is not None
    assert found.tiers[1].usd is None
    assert found.exceeds(Budget(usd=Decimal("0.000001"))) == ()
    assert found.as_json()["usd"] is None
    assert any("large: what it costs is unknown" in note for note in found.notes)


def test_an_endpoint_that_is_not_asked_is_reckoned_from_lengths_and_listed_prices() -> None:
    found = estimate(a_job(tier("small", "score=0.1"), endpoint("large")), texts(20))
    large = found.tiers[1]
    assert (large.asked, large.items, large.calls, large.hours, large.at_least) == (False, 20, 40, None, False)
    assert large.usd is not None
    assert large.usd > 0
    assert any("was not asked" in note for note in found.notes)


def test_what_goes_on_above_an_endpoint_that_is_not_asked_is_at_least() -> None:
    found = estimate(a_job(tier("small", "score=0.1"), endpoint("middle"), endpoint("large")), texts(20))
    assert found.at_least
    assert [one.at_least for one in found.tiers] == [False, False, True]


def test_a_machine_of_ones_own_is_priced_by_the_time_that_the_sample_took() -> None:
    found = estimate(a_job(tier("small", "score=0.9 wait_s=0.01", "own")), texts(16), of=1600)
    (own,) = found.tiers
    assert own.hours is not None
    assert own.usd is not None
    assert own.hours >= 2 * 100 * 0.01 / 3600
    assert 0 < float(own.usd) <= own.hours


def test_what_is_drawn_for_a_target_and_what_it_sends_up_is_counted() -> None:
    job = a_job(tier("small", "score=0.99"), tier("large", "score=0.9", "dear"), target={"agreement": {"mood": 0.9}})
    found = estimate(job, texts(50), of=5000)
    (promise,) = found.promises
    assert (promise.step, promise.tier) == ("mood", "large")
    assert 0 < promise.drawn <= promise.more_items <= 5000
    assert promise.usd is not None
    assert promise.usd > 0
    small = found.tiers[0].usd
    assert small is not None
    assert found.usd == pytest.approx(small + promise.usd)
    assert any("drawn items" in note for note in found.notes)


def test_what_may_be_spent_is_compared_with_the_upper_end_and_the_dearest_item() -> None:
    found = estimate(a_job(tier("small", "score=0.9")), texts(40))
    assert found.usd is not None
    assert found.dearest_usd is not None
    assert found.exceeds(None) == ()
    assert found.exceeds(Budget(usd=found.usd * 2, per_item_usd=found.dearest_usd)) == ()
    assert found.exceeds(Budget(usd=found.usd / 2)) == ("usd",)
    assert found.exceeds(Budget(per_item_usd=found.dearest_usd / 2)) == ("per_item_usd",)


def test_reckoning_needs_a_price_by_token() -> None:
    cheap, _, own = BOOK.prices
    assert reckoned_usd(cheap, chars_in=4000, chars_out=40) == Decimal("0.00101")
    assert reckoned_usd(own, chars_in=4000, chars_out=40) is None
    assert reckoned_usd(None, chars_in=4000, chars_out=40) is None


def test_a_sample_is_of_different_texts_and_the_same_each_time(tmp_path: Path) -> None:
    source = tmp_path / "a.log"
    source.write_text("".join(f"line {number % 300}\n" for number in range(1000)), encoding="utf-8")
    job = a_job(tier("small", "score=0.9"))

    def drawn(seed: int) -> list[str]:
        found = drawn_items(
            job, [str(source)], SourceOptions(), load_settings(), count=50, seed=seed, show=lambda *_: None
        )
        assert (found.rows, found.texts, found.rejected, len(found.items)) == (1000, 300, 0, 50)
        return [item.text for item in found.items]

    assert len(set(drawn(1))) == 50
    assert drawn(1) == drawn(1) != drawn(2)


JOB = """
name = "tickets"
[budget]
usd = 0.000001
[[steps]]
name = "mood"
kind = "sentiment"
[[tiers]]
name = "small"
engine = "instant"
model = "score=0.1"
price = "gpt-4o-mini"
[[tiers]]
name = "large"
engine = "openai"
model = "gpt-4o"
price = "gpt-4o"
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    job, source = tmp_path / "job.toml", tmp_path / "a.log"
    job.write_text(JOB, encoding="utf-8")
    source.write_text("".join(f"line {number % 90}\n" for number in range(100)), encoding="utf-8")
    return str(job), str(source)


def test_the_command_prints_one_document_and_leaves_no_run(
    files: tuple[str, str], exit_code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("estimate", *files, "--items", "30", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["duplicates"], told["items"], told["sample"]) == (100, 10, 90, 30)
    assert told["usd_low"] <= told["usd"] <= told["usd_high"]
    assert told["budget"] == {"usd": 0.000001, "per_item_usd": None, "exceeded": ["usd"]}
    assert [one["asked"] for one in told["tiers"]] == [True, False]
    assert not (Path(files[0]).parent / "home" / "postgres").exists()


def test_the_command_tells_people_what_is_left_out(
    files: tuple[str, str], exit_code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("estimate", *files, "--for", "1000000") == 0
    told = capsys.readouterr()
    assert "for 1,000,000 texts, by 90 of them" in told.out
    assert "with 90 % confidence" in told.out
    assert "large was not asked (--paid allows it)" in told.out
    assert "may go over the budget's usd" in told.err


def test_what_earlier_runs_may_know_is_told_and_not_taken_off() -> None:
    plain, reusing = (
        estimate(a_job(tier("small", "score=0.1"), tier("large", "m", reuse=reuse)), texts(10))
        for reuse in (False, True)
    )
    assert plain.usd == reusing.usd
    assert [note for note in reusing.notes if note not in plain.notes] == [
        "large: what earlier runs know of it (`reuse`) is not taken off"
    ]
