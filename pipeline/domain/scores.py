"""Two kinds of number that must never be mixed up: what a model says, and what we believe of it."""

from dataclasses import dataclass


def _checked_unit(value: float, what: str) -> None:
    if not 0.0 <= value <= 1.0:  # also refuses NaN
        msg = f"{what} must lie in [0, 1]"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True, order=True)
class RawScore:
    """The model's own probability of its answer among the allowed ones, before calibration; in [0, 1]."""

    value: float

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        _checked_unit(self.value, "RawScore")


@dataclass(frozen=True, slots=True)
class Confidence:
    """What is compared with a threshold; in [0, 1]. `calibrated` says whether a calibrator stands behind it."""

    value: float
    calibrated: bool

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        _checked_unit(self.value, "Confidence")
