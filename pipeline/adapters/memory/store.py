"""A Store in memory: the same promises as Postgres, for one process and for as long as it lives."""

from pipeline.adapters.memory.certify import CertifyPart
from pipeline.adapters.memory.earlier import EarlierPart
from pipeline.adapters.memory.forgetting import ForgetPart
from pipeline.adapters.memory.ingest import IngestPart
from pipeline.adapters.memory.labels import LabelPart
from pipeline.adapters.memory.logs import LogPart
from pipeline.adapters.memory.money import MoneyPart
from pipeline.adapters.memory.orders import OrderPart
from pipeline.adapters.memory.pacing import PacingPart
from pipeline.adapters.memory.report import ReportPart
from pipeline.adapters.memory.sweep import SweepPart
from pipeline.adapters.memory.tables import Tables
from pipeline.adapters.memory.work import WorkPart
from pipeline.ports.clock import Clock


class MemoryStore(
    IngestPart,
    WorkPart,
    SweepPart,
    MoneyPart,
    PacingPart,
    CertifyPart,
    LabelPart,
    ReportPart,
    OrderPart,
    LogPart,
    ForgetPart,
    EarlierPart,
):
    """Fulfils ports.store.Store. Safe to share between threads: every call holds one lock."""

    def __init__(self, clock: Clock) -> None:
        """Begin empty, telling leases, pauses and days by this clock."""
        super().__init__(Tables(clock))
        LogPart.__init__(self, self._tables)

    def finish_ingest(self, run_id: int) -> None:
        """Say that the source was read to its end; the run is `running`, or `done` at once if nothing is open."""
        super().finish_ingest(run_id)
        self.settle(run_id)

    def close(self) -> None:
        """Keep everything: there are no connections to give back."""
