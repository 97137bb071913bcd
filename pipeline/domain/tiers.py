"""A rung of the ladder: which engine answers, and from which confidence on it is believed."""

import hashlib
import ipaddress
import json
import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AnyUrl, BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from pipeline.domain.pacing import Limits
from pipeline.domain.steps import Choice, Name, Step

DEFAULT_ACCEPT_AT = 0.85
BUILT_IN_TEMPLATES = ("chatml", "gemma", "llama-2", "mistral-instruct", "plain")
TEMPLATE_SUFFIX = ".jinja"
MAX_THREADS = 1024
LEARNED = r"^[a-z0-9][a-z0-9.-]{0,59}(@[0-9a-f]{16})?$"
"""Name of what was learned; behind the @ stands which learning of that name, put there when a run is made."""
OnLong: TypeAlias = Literal["escalate", "truncate", "reject"]
Threshold = Annotated[float, Field(strict=True, ge=0.0, le=1.01)]


class Tier(BaseModel):
    """One tier of a job; the last of a step's ladder accepts any well-formed answer unless `accept_at` is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    engine: Literal["llama", "openai", "classical", "instant"]
    """`classical` chooses by a text's words, and an encoder's vector of it, as it learned; `instant` answers at once
    with fixed confidence: for load tests and trials of a deployment."""
    model: str = Field(min_length=1)
    """Catalogue name or path of a GGUF (llama), model or deployment name (openai), name of what `headrace learn` keeps
    (classical)."""
    encoder: str | None = Field(default=None, min_length=1)
    """classical: catalogue name or path of a sentence encoder whose vectors are learned from, beside words."""
    learned: str | None = Field(default=None, pattern=LEARNED)
    """llama: name of what `learn` keeps for this tier: heads on the model, and how sure to be of its answers."""
    accept_at: dict[str, Threshold] | None = None
    """Step name (or `default`) → least confidence that is accepted. None: 0.85, and on the last tier anything."""
    price: str | None = None
    """Entry of the price book; None: its costs are unknown."""
    chunk_items: int = Field(default=32, strict=True, ge=1, le=4096)
    """Items in one chunk."""
    context_tokens: int = Field(default=4096, strict=True, ge=256, le=1_048_576)
    """Window for one item: instruction, text and answer."""
    max_text_tokens: int | None = Field(default=None, strict=True, ge=16, le=1_048_576)
    """Length of text up to which the model is trusted; None: whatever fits into the window."""
    on_long: OnLong = "escalate"
    on_unknown_confidence: Literal["accept", "escalate"] = "escalate"
    """What to do when the engine gives no probabilities."""
    max_answer_tokens: int = Field(default=256, strict=True, ge=8, le=8192)

    reuse: StrictBool = False
    """Whether an answer that this very tier gave to the same text in an earlier run of the job is taken, not asked for
    again."""

    fuse: Literal["auto"] | StrictBool = "auto"
    """llama: whether a text is read once for all steps, whose instructions then stand together before it.

    `auto` does so for the steps whose answers hold by a measurement of this job on the model at hand; without one, and
    for all others, steps are read apart.
    """
    gpu_layers: int | None = Field(default=None, strict=True, ge=-1, le=10_000)
    """llama, encoder: layers on the GPU; -1 is all. None: all where llama.cpp was built for a GPU, else none."""
    chat_template: str | None = Field(default=None, min_length=1)
    """llama: for a file that has none, the name of a built-in template or the text of one.

    A job file names a `.jinja` file instead, whose text the loader puts here: the job's digest covers it, and workers
    elsewhere need no such file.
    """
    reproducible: StrictBool = False
    """llama: read every question by itself, so that its answer does not depend on what else is asked; much slower."""
    threads: int | None = Field(default=None, strict=True, ge=1, le=MAX_THREADS)
    """llama, encoder: None takes what the cgroup grants this worker."""

    base_url: str | None = None
    """openai: the endpoint; None is the client library's own default."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """openai: *name* of the environment variable with the key."""
    azure_api_version: str | None = None
    """openai: set for Azure, with `base_url` as the resource's endpoint."""
    concurrency: int = Field(default=8, strict=True, ge=1, le=512)
    """openai: requests in flight at once."""
    requests_per_minute: int | None = Field(default=None, strict=True, ge=1, le=10_000_000)
    """openai: of all workers that ask this model there together; None: no limit of ours."""
    tokens_per_minute: int | None = Field(default=None, strict=True, ge=1, le=100_000_000_000)
    """openai: likewise, of prompts (4 characters a token) and the longest answers that they may get."""
    timeout_s: float = Field(default=60.0, strict=True, gt=0, le=86_400)
    retries: int = Field(default=4, strict=True, ge=0, le=20)

    @field_validator("accept_at", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return {"default": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _learning_fits(self) -> "Tier":
        if self.engine == "classical" and not re.fullmatch(LEARNED, self.model):
            msg = 'model: name what `headrace learn` keeps, in a-z, 0-9, . and -, as in "support-words"'
            raise ValueError(msg)
        if self.learned is not None and self.engine != "llama":
            msg = "learned: only llama tiers have heads; a classical tier names what it learned in `model`"
            raise ValueError(msg)
        if self.encoder is not None and self.engine != "classical":
            msg = 'encoder: only a tier with engine = "classical" learns from an encoder\'s vectors'
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _window_fits(self) -> "Tier":
        if self.engine == "classical" and (self.max_text_tokens is not None or self.on_long == "reject"):
            msg = (
                "max_text_tokens, on_long: a classical tier has no window (words see the whole of a text, an encoder "
                "its beginning): leave both out"
            )
            raise ValueError(msg)
        return self

    @field_validator("chat_template")
    @classmethod
    def _known_template(cls, value: str | None) -> str | None:
        # A template prints something: text without a brace is a name, or the path of a file.
        if value is None or value in BUILT_IN_TEMPLATES or "{" in value or value.endswith(TEMPLATE_SUFFIX):
            return value
        names = ", ".join(BUILT_IN_TEMPLATES)
        msg = f"no chat template is called so; there are: {names}; or give the path of a {TEMPLATE_SUFFIX} file"
        raise ValueError(msg)

    def threshold(self, step: str, *, last: bool) -> float | None:
        """Return the least confidence accepted for a step; None accepts any well-formed answer."""
        if self.accept_at is None:
            return None if last else DEFAULT_ACCEPT_AT
        otherwise = None if last else DEFAULT_ACCEPT_AT
        return self.accept_at.get(step, self.accept_at.get("default", otherwise))

    @property
    def lesson(self) -> str | None:
        """Name of what this tier has learned, or is to learn; None: it learns nothing."""
        return self.model if self.engine == "classical" else self.learned

    def pinned(self, lesson: str) -> "Tier":
        """Return the tier with exactly that learning of its name."""
        return self.model_copy(update={"model" if self.engine == "classical" else "learned": lesson})

    def answers(self, step: Step) -> bool:
        """Whether this engine can answer such a step: words only tell one label from another."""
        return self.engine != "classical" or isinstance(step.form, Choice)

    @property
    def model_file(self) -> str | None:
        """Catalogue name or path of the model that this tier's workers load; None: they load none."""
        return self.model if self.engine == "llama" else self.encoder

    @property
    def shares_readings(self) -> bool:
        """Whether a text is read once for questions that begin alike. An endpoint reads it as often as it is sent."""
        return self.engine in {"llama", "instant"}

    @property
    def is_local(self) -> bool:
        """Whether texts stay on the machine of the worker."""
        if self.engine != "openai":
            return True
        try:
            host = (AnyUrl(self.base_url or "").host or "").strip("[]")
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def limits(self) -> Limits:
        """What its endpoint allows."""
        return Limits(requests_per_minute=self.requests_per_minute, tokens_per_minute=self.tokens_per_minute)

    @property
    def account(self) -> str:
        """Name of what the limits are of: a model at an endpoint, under a key."""
        said = json.dumps([self.base_url, self.model, self.api_key_env])
        return f"{self.model}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def falls_with(self, other: "Tier") -> bool:
        """Whether an outage of the other is one of this: the same workers, or the same account at an endpoint."""
        asks_outside = self.engine == other.engine == "openai"
        return self.pool == other.pool or (asks_outside and self.account == other.account)

    @property
    def fuses(self) -> bool:
        """Whether this tier's steps share a reading."""
        return self.shares_readings and self.fuse is True

    @property
    def fuses_by_evidence(self) -> bool:
        """Whether a measurement decides that."""
        return self.engine == "llama" and self.fuse == "auto" and self.learned is None

    @property
    def pool(self) -> str:
        """Name of the queue and pool of workers: equal for tiers of any job that the same worker can serve."""
        # What is left at its default is left out: a release with more keys must still serve the chunks of older ones.
        served = self.model_dump(
            exclude={"accept_at", "price", "chunk_items", "on_unknown_confidence", "on_long", "fuse", "reuse"},
            exclude_defaults=True,
        )
        digest = hashlib.sha256(json.dumps(served, sort_keys=True).encode()).hexdigest()
        return f"tier.{self.name}.{digest[:8]}"
