"""Whether a tier's model fits on this machine: what it needs against what is there, before it is loaded."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.adapters.machine import available_memory_bytes
from pipeline.adapters.models import Architecture, MemoryNeed, encoder_need, memory_need
from pipeline.domain.errors import ModelError
from pipeline.domain.tiers import Tier

PROCESS_BYTES = 250_000_000
"""A worker without its model: Celery's parent and its child, 95 and 125 MB of them measured."""
WAY_OUT = "take a smaller context_tokens, a smaller model or number format, or fewer tiers on this machine"
_GB = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What is free."""

    host_bytes: int
    gpu_bytes: int | None
    """None: no GPU that llama.cpp would use, or it does not tell."""
    has_gpu: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TierNeed:
    """What one tier's worker takes."""

    need: MemoryNeed
    gpu_share: float
    """Part of its layers that lie on the GPU, 0 to 1."""

    @property
    def host(self) -> MemoryNeed:
        """What stays in the machine's memory; computing needs buffers on either side."""
        rest = 1 - self.gpu_share
        return MemoryNeed(
            mapped_bytes=round(self.need.mapped_bytes * rest),
            copied_bytes=round(self.need.copied_bytes * rest),
            kv_bytes=round(self.need.kv_bytes * rest),
            compute_bytes=self.need.compute_bytes + PROCESS_BYTES,
        )

    @property
    def gpu_bytes(self) -> int:
        """What the GPU takes."""
        if not self.gpu_share:
            return 0
        return round((self.need.weights_bytes + self.need.kv_bytes) * self.gpu_share) + self.need.compute_bytes


def tier_need(tier: Tier, measures: Architecture, *, has_gpu: bool, batch_tokens: int | None = None) -> TierNeed | None:
    """Estimate what a worker of a tier with a model takes; None where the model's file does not say enough.

    `batch_tokens` were measured to be best here; None is the engine's own number.
    """
    # The engine's own figures; imported here because they come with numpy and Jinja, which few commands need.
    from pipeline.adapters.llama.context import BATCH_TOKENS  # noqa: PLC0415
    from pipeline.adapters.llama.encoder import ENCODER_BATCH_TOKENS  # noqa: PLC0415
    from pipeline.adapters.llama.engine import EXTRA_CELLS, SEQUENCES  # noqa: PLC0415

    if tier.engine == "classical":
        need = encoder_need(measures, batch_tokens=ENCODER_BATCH_TOKENS)
    else:
        window = min(tier.context_tokens, measures.context_tokens or tier.context_tokens)
        need = memory_need(
            measures, cells=window + EXTRA_CELLS, batch_tokens=batch_tokens or BATCH_TOKENS, outputs=SEQUENCES
        )
    if need is None:
        return None
    layers = measures.layers or 1
    wanted = -1 if tier.gpu_layers is None else tier.gpu_layers
    on_gpu = layers if wanted < 0 else min(wanted, layers)
    return TierNeed(need=need, gpu_share=on_gpu / layers if has_gpu else 0.0)


def together_bytes(needs: Iterable[tuple[str, TierNeed]]) -> int:
    """Sum what workers take of the machine's memory, given each one's file (its hash) and need.

    Weights used in the file are shared: they count once for each file.
    """
    total = 0
    mapped: dict[str, int] = {}
    for file, need in needs:
        total += need.host.total_bytes - need.host.mapped_bytes
        mapped[file] = max(need.host.mapped_bytes, mapped.get(file, 0))
    return total + sum(mapped.values())


def refuse_unless_it_fits(tier: Tier, need: TierNeed | None, room: Room) -> None:
    """Raise ModelError, with the numbers and the way out, where a worker needs more than is free."""
    if need is None:
        return
    if need.host.total_bytes > room.host_bytes:
        raise ModelError(
            f"tier {tier.name} needs about {need.host} of memory for {tier.model_file} and "
            f"{room.host_bytes / _GB:,.2f} GB are free: {WAY_OUT}"
        )
    if room.gpu_bytes is not None and need.gpu_bytes > room.gpu_bytes:
        raise ModelError(
            f"tier {tier.name} needs about {need.gpu_bytes / _GB:,.2f} GB of the GPU for {tier.model_file} and "
            f"{room.gpu_bytes / _GB:,.2f} GB are free: {WAY_OUT}, or set gpu_layers lower"
        )


def room_here() -> Room:
    """Look how much is free in this process's surroundings; loads llama.cpp."""
    from pipeline.adapters.llama.devices import free_gpu_bytes, has_gpu_support  # noqa: PLC0415 — heavy native code

    return Room(host_bytes=available_memory_bytes(), gpu_bytes=free_gpu_bytes(), has_gpu=has_gpu_support())
