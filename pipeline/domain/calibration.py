"""From RawScore to Confidence. Only the identity exists so far, and it says that it is no calibration."""

from typing import Protocol

from pipeline.domain.scores import Confidence, RawScore


class Calibrator(Protocol):
    """Turns a raw score of one (step, tier) into a confidence."""

    def __call__(self, raw: RawScore) -> Confidence:
        """Return the confidence; monotone in `raw`."""
        ...


def uncalibrated(raw: RawScore) -> Confidence:
    """Keep the number and mark it uncalibrated, so that it is shown as such everywhere."""
    return Confidence(raw.value, calibrated=False)
