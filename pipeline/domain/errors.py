"""What the *world* does wrong, as exceptions; what a *model* does wrong is a value (see `answers`).

::

    HeadraceError                 exit 1
    ├── ConfigError               exit 2   stop at start: the user can mend it
    │   ├── HomeInUse                      another Headrace holds this home
    │   ├── JobError                       the job file: names key, line and what is allowed
    │   └── ModelError                     a model file is missing, damaged or not what it says
    ├── UnavailableError          exit 3   something Headrace needs does not answer
    │   ├── StoreUnavailable               Postgres: retry
    │   ├── QueueUnavailable               Redis: retry
    │   ├── EngineUnavailable              an endpoint is down: the tier pauses, nothing is decided
    │   └── ServiceError                   an embedded server cannot start
    ├── RunNotFound               exit 4   no run of that name
    ├── RunFailed                 exit 5   a run ended in a state other than done
    ├── OutputError               exit 1   standard output takes no more: a full disk, a closed descriptor
    ├── NothingToCancel           exit 1   the run has ended by itself
    ├── MessageError              exit 1   a queue message that is not ours: dead letter
    └── ConservationError         exit 1   an item was dropped or doubled: a bug, never hidden
"""

from typing import ClassVar


class HeadraceError(Exception):
    """Base of all errors that Headrace raises on purpose; the message is for the user and holds no customer text."""

    exit_code: ClassVar[int] = 1


class ConfigError(HeadraceError):
    """Something the user gave is wrong; the message says what to do."""

    exit_code = 2


class HomeInUse(ConfigError):
    """Another Headrace holds this home."""


class JobError(ConfigError):
    """The job file is wrong; the message names the key, the line and what is allowed."""


class ModelError(ConfigError):
    """A model file is missing, damaged, or not the one its hash promises."""


class UnavailableError(HeadraceError):
    """Something Headrace needs does not answer now."""

    exit_code = 3


class StoreUnavailable(UnavailableError):
    """Postgres does not answer; the work is safe and can be tried again."""


class QueueUnavailable(UnavailableError):
    """Redis does not answer; chunks stand unpublished until a sweep."""


class EngineUnavailable(UnavailableError):
    """An engine's endpoint is down or refuses us; `retry_after_s` is what it asked for, if it said."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """Keep the endpoint's own wish for a pause, in seconds."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServiceError(UnavailableError):
    """An embedded server could not start or died."""


class RunNotFound(HeadraceError):
    """No run has this name."""

    exit_code = 4


class RunFailed(HeadraceError):
    """A run ended otherwise than done."""

    exit_code = 5


class OutputError(HeadraceError):
    """Standard output could not be written to."""


class NothingToCancel(HeadraceError):
    """A run that is done or failed can't be cancelled any more."""


class MessageError(HeadraceError):
    """A queue message is not one of ours or of a version that we do not know."""


class ConservationError(HeadraceError):
    """As many outcomes must come out as items went in; they did not."""
