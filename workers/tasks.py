"""One thin task: a chunk's id in, log lines out. Results live in Postgres."""

import os
import signal

from pipeline.domain.errors import HeadraceError
from pipeline.flow.judge import Judged
from pipeline.messages import JUDGE_TASK, read
from pipeline.telemetry import logger
from workers.app import app
from workers.lifecycle import current_judge


class ChunkFailedError(Exception):
    """A chunk could not be judged; says which and the kind of error only, since Celery and Flower show it."""


@app.task(name=JUDGE_TASK, acks_late=True, ignore_result=True)
def judge_chunk(**body: object) -> None:
    """Judge the chunk that a message names."""
    log = logger()
    try:
        message = read(body)
        judged = current_judge().judge(message.chunk_id)
    except HeadraceError as error:
        log.error("chunk_failed", error=type(error).__name__, reason=str(error))  # noqa: TRY400 — a fault of the world
        raise ChunkFailedError(type(error).__name__) from None
    except MemoryError:
        # Threads that could not begin, buffers half made: nobody knows what of this process is whole. Another begins.
        log.error("worker_out_of_memory")  # noqa: TRY400 — no memory for a traceback, nor need of one
        os.kill(os.getpid(), signal.SIGKILL)
    except Exception as error:  # noqa: BLE001 — told and raised again, in words of ours
        # The message of a foreign error could quote a customer's text: only its kind is told.
        log.error("chunk_failed", error=type(error).__name__)  # noqa: TRY400 — no traceback, for the same reason
        raise ChunkFailedError(type(error).__name__) from None
    else:
        _report(judged)


def _report(judged: Judged) -> None:
    log = logger()
    if judged.result == "outage":
        log.warning("tier_paused", chunk=judged.chunk_id, reason=judged.reason)
    elif judged.result == "no_money":
        log.warning("budget_spent", chunk=judged.chunk_id, run=judged.run)
    elif judged.result != "nothing":
        log.info(
            "chunk_judged",
            chunk=judged.chunk_id,
            run=judged.run,
            result=judged.result,
            items=judged.items,
            reused=judged.reused,
            verdicts=judged.verdicts,
            held=judged.held,
            escalations=judged.escalations,
            unresolved=judged.unresolved,
            fused=list(judged.fused),
            seconds=round(judged.seconds, 3),
        )
        for promise in judged.promises:
            log.info("promise", run=judged.run, said=promise)
        for withdrawal in judged.withdrawn:
            log.error("certificate_withdrawn", run=judged.run, said=withdrawal)
