"""How the CPUs of a machine are shared among the local models of a job."""

from pipeline.domain.job import Job
from pipeline.wiring.stack import threads_of

STEPS = [{"name": name, "kind": "sentiment"} for name in ("mood", "tone")]


def job(*engines: str, ladders: dict[str, list[str]] | None = None, **more: object) -> Job:
    tiers = [{"name": f"t{number}", "engine": engine, "model": "m"} for number, engine in enumerate(engines)]
    steps = [{**step, "ladder": (ladders or {}).get(step["name"])} for step in STEPS]
    return Job.model_validate({"name": "j", "steps": steps, "tiers": tiers, **more})


def test_models_that_work_at_the_same_time_divide_the_cpus() -> None:
    assert threads_of(job("llama", "llama"), 8) == {"t0": 4, "t1": 4}
    assert threads_of(job("classical", "llama", "openai"), 8) == {"t0": 1, "t1": 8, "t2": 1}
    assert threads_of(job("llama", "llama", "llama"), 2) == {"t0": 1, "t1": 1, "t2": 1}


def test_a_classical_tier_shares_the_cpus_where_it_has_an_encoder() -> None:
    plain = job("classical", "llama")
    tier = plain.tiers[0].model_copy(update={"encoder": "e"})
    assert threads_of(plain.model_copy(update={"tiers": (tier, plain.tiers[1])}), 8) == {"t0": 4, "t1": 4}


def test_with_a_target_the_last_tier_and_those_below_work_in_turns() -> None:
    target = {"agreement": 0.9}
    assert threads_of(job("classical", "llama", "llama", target=target), 8) == {"t0": 1, "t1": 8, "t2": 8}
    assert threads_of(job("llama", "llama", "llama", target=target), 8) == {"t0": 4, "t1": 4, "t2": 8}


def test_a_step_without_a_target_keeps_all_tiers_at_work() -> None:
    only = {"agreement": {"mood": 0.9}}
    assert threads_of(job("llama", "llama", target=only), 8) == {"t0": 4, "t1": 4}


def test_a_last_tier_that_is_a_lower_one_of_another_step_is_no_last_tier() -> None:
    ladders = {"mood": ["t0", "t1"], "tone": ["t0", "t1", "t2"]}
    found = threads_of(job("llama", "llama", "llama", ladders=ladders, target={"agreement": 0.9}), 9)
    assert found == {"t0": 3, "t1": 3, "t2": 3}
