"""`python -m workers --job FILE --tier NAME`: one Celery worker for one tier. `headrace worker` runs this."""

import argparse
import os
import sys

from pipeline import telemetry
from pipeline.adapters.celery_queue import pool_queue
from pipeline.domain.errors import HeadraceError
from pipeline.domain.tiers import MAX_THREADS
from pipeline.settings import ASSIGNMENT, load_settings
from pipeline.wiring import model_for
from pipeline.wiring.exposure import warn_of_exposed


def main() -> int:
    """Check what can be checked, then hand over to Celery; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--job", required=True)
    parser.add_argument("--tier", required=True)
    parser.add_argument("--threads", type=int, choices=range(1, MAX_THREADS + 1), metavar="N", default=None)
    options = parser.parse_args()
    settings = load_settings()
    telemetry.configure(level=settings.log_level or "info", style=settings.log_format)
    try:
        warn_of_exposed(settings)
        return _serve(options.job, options.tier, options.threads)
    except HeadraceError as error:
        telemetry.logger().error("worker_refused", reason=str(error), exit_code=error.exit_code)
        return error.exit_code


def _serve(job_file: str, tier_name: str, threads: int | None) -> int:
    # Imported here: the app reads the environment when it is imported, and its errors are to be reported like others.
    from workers.app import app  # noqa: PLC0415
    from workers.lifecycle import Assignment, read_job, tier_named  # noqa: PLC0415

    tier = tier_named(read_job(job_file), tier_name)
    if tier.model_file is not None:
        model_for(tier, load_settings())
    os.environ[ASSIGNMENT] = Assignment(job=job_file, tier=tier_name, threads=threads).as_json()
    app.conf.task_queues = (pool_queue(tier.pool),)
    # Workers have nothing to tell one another: no gossip, no mingling.
    app.worker_main(
        [
            *("worker", "--pool", "prefork", "--queues", tier.pool, "--hostname", f"{tier.name}@%h"),
            *("--loglevel", "WARNING", "--without-gossip", "--without-mingle"),
        ]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
