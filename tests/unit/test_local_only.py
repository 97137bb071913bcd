"""A job that may send texts nowhere."""

import pytest
from pydantic import ValidationError

from pipeline.domain.job import Job


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost:8000/v1", True),
        ("https://api.example.com/v1", False),
        ("http://127.0.0.1.example.com/v1", False),
        ("http://localhost@example.com/v1", False),
        ("http://10.0.0.7/v1", False),
        ("no address", False),
        (None, False),
    ],
)
def test_a_local_only_job_has_no_tier_that_sends_texts_elsewhere(url: str | None, *, fits: bool) -> None:
    large = {"name": "large", "engine": "openai", "model": "m", "base_url": url}
    job = {"name": "j", "steps": [{"name": "mood", "kind": "sentiment"}], "tiers": [large]}
    assert not Job.model_validate(job).local_only
    if fits:
        assert Job.model_validate({**job, "local_only": True}).local_only
        return
    with pytest.raises(ValidationError, match=r"local_only: tier large sends texts"):
        Job.model_validate({**job, "local_only": True})
