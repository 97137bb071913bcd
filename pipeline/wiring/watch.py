"""Child processes looked after: an end that was not asked for is logged, and who keeps ending is told of."""

from pipeline.adapters.embedded import Services, Supervisor
from pipeline.domain.errors import ServiceError
from pipeline.telemetry import logger

_CRASHES_ALLOWED = 4
"""In a row: so often did none run for long."""
_LONG_S = 60.0
_OUR_OWN_WORDS = 2
"""Exit code of a ConfigError, which no restart mends."""
_MOST_WORDS = 500


class Watch:
    """Of a supervisor's children, and of the servers if they are ours."""

    def __init__(self, supervisor: Supervisor, services: Services | None) -> None:
        """Begin with no crash."""
        self._supervisor, self._services = supervisor, services
        self._crashes: dict[str, int] = {}

    def poll(self) -> None:
        """Look after the processes; raises ServiceError when one keeps ending, with its log's name."""
        exits = list(self._supervisor.poll())
        if self._services is not None:
            exits += self._services.poll()
        for ended in exits:
            logger().warning(
                "child_ended", child=ended.name, exit_code=ended.exit_code, uptime_s=round(ended.uptime_s, 1)
            )
            before = 0 if ended.uptime_s >= _LONG_S else self._crashes.get(ended.name, 0)
            self._crashes[ended.name] = before + 1
            if ended.exit_code == _OUR_OWN_WORDS or self._crashes[ended.name] >= _CRASHES_ALLOWED:
                raise ServiceError(self._last_words(ended.name))

    def _last_words(self, name: str) -> str:
        log = self._supervisor.log_path(name)
        try:
            lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        lines = [line for line in lines if '"level": "error"' in line] or lines
        last = lines[-1][:_MOST_WORDS] if lines else "it wrote nothing"
        return f"{name} keeps ending; its log {log} ends with: {last}"
