"""What a job becomes once its tiers are bound to what they learned, and where it goes on without."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.learned.files import LearnedFiles, Lesson
from pipeline.domain.curves import Curve
from pipeline.domain.errors import ModelError
from pipeline.domain.job import Job
from pipeline.domain.learned import Figures, Learned, LearnedStep, options_digest
from pipeline.settings import Settings
from pipeline.wiring.lessons import FOLDER, with_lessons

FIGURES = Figures(rows=40, accuracy=1.0, before=None, log_loss=0.0, plain_log_loss=0.0, ece_excess=0.0)
WORDS = {"name": "words", "engine": "classical", "model": "w"}
SMALL = {"name": "small", "engine": "llama", "model": "m", "learned": "s"}
LARGE = {"name": "large", "engine": "instant", "model": "score=1"}
TOPIC = {"name": "topic", "kind": "classify", "labels": ["a", "b"]}
MOOD = {"name": "mood", "kind": "sentiment"}
DETAILS = {"name": "details", "kind": "extract", "fields": {"order": {"type": "string"}}}


def job(*tiers: dict[str, Any], steps: tuple[dict[str, Any], ...] = (TOPIC, MOOD), **more: object) -> Job:
    return Job.model_validate({"name": "j", "steps": steps, "tiers": tiers or (WORDS, SMALL, LARGE), **more})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, models=tmp_path / "models")


def teach(settings: Settings, name: str, **options: tuple[str, ...]) -> str:
    """Keep a lesson of steps with these labels, as words would; it chooses nothing."""
    curve = Curve(kind="as said", weights=(1.0,))
    steps = tuple(
        LearnedStep(
            step=step,
            way="curve",
            asked=options_digest(step, labels),
            options=labels,
            knows_none=False,
            curve=curve,
            figures=FIGURES,
        )
        for step, labels in options.items()
    )
    about = Learned(model=None, steps=steps)
    return LearnedFiles(settings.models_folder / FOLDER).keep(name, Lesson(about=about, choosers={}))


def ladders(one: Job) -> list[list[str]]:
    return [[one.tiers[number].name for number in one.ladder(step_no)] for step_no in range(len(one.steps))]


def test_a_job_is_bound_to_the_latest_learning_of_each_name(settings: Settings) -> None:
    pinned = teach(settings, "w", topic=("a", "b"), mood=("negative", "neutral", "positive"))
    bound = with_lessons(job(), settings)
    assert [tier.lesson for tier in bound.tiers] == [pinned, None, None]
    assert ladders(bound) == [["words", "small", "large"]] * 2
    assert with_lessons(bound, settings) == bound, "bound once, it stays"
    assert with_lessons(bound, settings).digest != job().digest


def test_steps_that_words_have_not_learned_begin_above_them(settings: Settings) -> None:
    teach(settings, "w", topic=("a", "b"))
    assert ladders(with_lessons(job(), settings)) == [["words", "small", "large"], ["small", "large"]]


def test_words_that_learned_nothing_are_left_out_and_a_model_says_what_it_says(settings: Settings) -> None:
    bound = with_lessons(job(), settings)
    assert [tier.name for tier in bound.tiers] == ["small", "large"]
    assert bound.tiers[0].learned is None
    assert ladders(bound) == [["small", "large"]] * 2


def test_a_target_that_has_lost_all_below_its_last_tier_promises_nothing(settings: Settings) -> None:
    alone = with_lessons(job(WORDS, LARGE, target={"agreement": {"topic": 0.9}}), settings)
    assert alone.target is None
    assert alone.certified_steps == {}
    Job.model_validate_json(alone.model_dump_json())
    both = with_lessons(job(target={"agreement": 0.9}), settings)
    assert both.certified_steps == {0: 0.9, 1: 0.9}


def test_labels_that_changed_since_are_refused(settings: Settings) -> None:
    teach(settings, "w", topic=("a", "b", "c"))
    with pytest.raises(ModelError, match="learned step topic with other labels than it has now: headrace learn JOB"):
        with_lessons(job(), settings)


def test_a_step_that_only_words_answer_wants_a_lesson(settings: Settings) -> None:
    with pytest.raises(ModelError, match="answered by tier words alone, which has not learned it"):
        with_lessons(job(WORDS, steps=(TOPIC,)), settings)


def test_records_go_past_the_words(settings: Settings) -> None:
    teach(settings, "w", topic=("a", "b"))
    bound = with_lessons(job(steps=(TOPIC, DETAILS)), settings)
    assert ladders(bound) == [["words", "small", "large"], ["small", "large"]]


@pytest.mark.parametrize("ladder", [["words"], ["words", "large"]])
def test_a_ladder_that_names_words_for_a_record_is_refused(ladder: list[str]) -> None:
    with pytest.raises(ValueError, match=r"tier words \(classical\) only chooses one label; name other tiers"):
        job(steps=({**DETAILS, "ladder": ladder},))


def test_a_record_that_only_words_could_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="only chooses one label"):
        job(WORDS, steps=(DETAILS,))
