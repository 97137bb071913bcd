"""Free ports on 127.0.0.1."""

import socket

from pipeline.domain.errors import ServiceError

LOOPBACK = "127.0.0.1"


def pick_port(fixed: int | None) -> int:
    """Return `fixed` if it is free, or any free port; it may be taken before it is used, so be ready to pick again.

    Raises:
        ServiceError: `fixed` is in use, or this account may not listen on it.

    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        if fixed is not None:  # connections of yesterday's server may still be closing: they are no obstacle
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, fixed or 0))
            trial.listen(1)
        except OSError as error:
            message = (
                f"port {fixed} on {LOOPBACK} cannot be used ({error.strerror}); "
                "stop what listens there, choose another port, or give none and a free one is picked"
            )
            raise ServiceError(message) from error
        port: int = trial.getsockname()[1]
        return port
