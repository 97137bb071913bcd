"""The only reader of the environment. Every value can be seen with `headrace doctor`, secrets masked."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr, ValidationError

from pipeline.domain.errors import ConfigError

PREFIX = "HEADRACE_"
NIGHTS = PREFIX + "NIGHTS"
"""Set by `headrace logs nightly` for its own children only: the log job files."""
ASSIGNMENT = PREFIX + "ASSIGNMENT"
"""Set by `python -m workers` for its own children only."""


class Settings(BaseModel):
    """What the environment says; names are HEADRACE_ and the field in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("headrace")))
    """Where the embedded servers, models, logs and secrets live."""
    models: Path | None = None
    """Folder of the models; None is HOME/models."""
    redis_url: SecretStr | None = None
    database_url: SecretStr | None = None
    """Set both, or neither: then servers are embedded."""
    require_tls: bool = False
    """Refuse servers on other machines that are reached without TLS or without a password."""
    allow_checks: str = ""
    """`package.module:function`, separated by commas: what workers may import beside what their own job names."""
    price_book: Path | None = None
    """TOML file; None is the book that is shipped."""
    redis_port: int | None = Field(default=None, ge=1, le=65535)
    postgres_port: int | None = Field(default=None, ge=1, le=65535)
    flower_port: int | None = Field(default=None, ge=1, le=65535)
    """None picks free ports."""
    lease_s: float = Field(default=20.0, ge=1.0, le=86_400)
    """How long a silent worker keeps its chunk."""
    stall_after_s: float = Field(default=900.0, ge=1.0, le=86_400)
    """How long an engine may do nothing at all in the middle of a chunk before its worker is started anew."""
    sweep_every_s: float = Field(default=5.0, gt=0, le=86_400)
    keep_text_days: int | None = Field(default=None, ge=1, le=36_500)
    """How long after a run has ended its texts are kept; None: for ever."""
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    """None: warning for commands, info for workers."""
    nights: Json[tuple[str, ...]] = ()
    """Internal: the log job files whose schedules this process keeps."""
    assignment: str | None = None
    """Internal: what a worker's child is to serve."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, else JSON lines."""

    @property
    def models_folder(self) -> Path:
        """Where model files live."""
        return self.models or self.home / "models"

    @property
    def allowed_checks(self) -> frozenset[str]:
        """What workers may import for runs of other jobs."""
        return frozenset(name.strip() for name in self.allow_checks.split(",")) - {""}

    @property
    def is_embedded(self) -> bool:
        """Whether servers of our own are to be used."""
        return self.redis_url is None and self.database_url is None


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment; raises ConfigError naming the variable and what is allowed, never its value."""
    seen = os.environ if environment is None else environment
    values = {
        name: seen[PREFIX + name.upper()] for name in Settings.model_fields if seen.get(PREFIX + name.upper(), "") != ""
    }
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"environment: {faults}") from None
    if (settings.redis_url is None) != (settings.database_url is None):
        raise ConfigError("set both HEADRACE_REDIS_URL and HEADRACE_DATABASE_URL for servers of your own, or neither")
    return settings


def secret_from(variable: str | None) -> str | None:
    """Return the secret in the environment variable that a job names; raises ConfigError when it is not set."""
    if variable is None:
        return None
    value = os.environ.get(variable, "")
    if not value:
        raise ConfigError(f"the environment variable {variable}, named by the job's api_key_env, is not set")
    return value


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process of ours: this one's, with `extra` on top."""
    return {**os.environ, **extra}
