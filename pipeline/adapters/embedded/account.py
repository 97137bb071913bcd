"""Whom PostgreSQL runs as, and what that account can reach: PostgreSQL refuses to run as root.

As an ordinary user nothing here applies. As root the server runs as the owner of the data that is already there, else
as `nobody`, which usually cannot walk to the home (0700, often under /root). Three ways to its data, in this order:

1. by its path, when the account can walk there;
2. on Linux by `/proc/self/cwd`: the guard enters the folder as root and then changes account, and that name leads to
   the current folder without asking for any parent's permission. So the data stays in the home, whose mode stays 0700;
3. elsewhere (macOS): /var/lib/headrace-<hash of the home's path>, written down in HOME/postgres-folder.

No mode of a folder that we did not make is ever changed.
"""

import hashlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.embedded.home import POSTGRES, Home, make_private
from pipeline.domain.errors import ServiceError

OWN_SERVERS = "set HEADRACE_REDIS_URL and HEADRACE_DATABASE_URL to servers of your own"
"""The way out where ours cannot run; one variable alone is refused."""

BY_CWD = "/proc/self/cwd"
_ELSEWHERE = Path("/var/lib")
_DEFAULT_ACCOUNT = "nobody"
_TRIAL_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Account:
    """An ordinary account that root drops to."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class DataPlace:
    """Where PostgreSQL's data lies and under which name the server finds it."""

    folder: Path  # holds `data`; belongs to the account, 0700
    account: Account | None  # None: whoever we are
    by_cwd: bool = False  # the account can only use it as its current folder

    @property
    def data(self) -> Path:
        """Return the data directory, which exists once initdb has finished."""
        return self.folder / "data"

    def named(self, path: Path) -> str:
        """Return what the server, whose current folder is the data directory at `path`, must call it."""
        return BY_CWD if self.by_cwd else str(path)

    def give(self, path: Path) -> None:
        """Hand a file or folder that we just made to the account."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def find_place(home: Home) -> DataPlace:
    """Return the place of the data of this home, made if missing: the same one every day.

    Raises:
        ServiceError: as root, no account can be used, or a folder elsewhere that was used before is gone.

    """
    if os.geteuid() != 0:
        return DataPlace(folder=home.folder(POSTGRES), account=None)
    note = home.path / "postgres-folder"
    if note.exists():
        folder = Path(note.read_text(encoding="utf-8"))
        if not folder.is_dir():
            message = (
                f"the data of PostgreSQL was in {folder}, which is gone; restore it, or delete {note} to start empty"
            )
            raise ServiceError(message)
        return DataPlace(folder=folder, account=_account_of(folder))
    folder = home.path / POSTGRES
    if not folder.exists():
        make_private(folder)
    place = DataPlace(folder=folder, account=_account_of(folder))
    place.give(folder)
    if _can_write(place.account, "/", str(folder)):
        return place
    if _can_write(place.account, str(folder), BY_CWD):
        return DataPlace(folder=folder, account=place.account, by_cwd=True)
    return _place_elsewhere(home, note)


def can_run(account: Account, argv: list[str]) -> bool:
    """Whether the account can execute this, to a good end."""
    try:
        done = subprocess.run(  # noqa: S603 - a program of the installed wheel
            argv,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _account_of(folder: Path) -> Account:
    """Return the owner of the folder if that is an ordinary account, else `nobody`."""
    owner = folder.stat().st_uid
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(_DEFAULT_ACCOUNT)
    except KeyError as error:
        message = (
            f"PostgreSQL does not run as root, and there is no account {owner or _DEFAULT_ACCOUNT} on this machine; "
            f"run as an ordinary user, or {OWN_SERVERS}"
        )
        raise ServiceError(message) from error
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _can_write(account: Account | None, cwd: str, folder: str) -> bool:
    """Whether the account, with this current folder, can write to `folder`."""
    if account is None:
        return True
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command; the folder is an argument, not shell text
            ["/bin/sh", "-c", 'test -w "$0" && test -x "$0"', folder],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd=cwd,
            env={},
            check=False,
            timeout=_TRIAL_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _place_elsewhere(home: Home, note: Path) -> DataPlace:
    """Make a folder outside the home for a home that the account cannot reach, and write down where."""
    name = hashlib.sha256(os.fsencode(home.path)).hexdigest()[:12]
    folder = _ELSEWHERE / f"headrace-{name}"
    if not folder.exists():
        try:
            _ELSEWHERE.mkdir(parents=True, exist_ok=True)
            make_private(folder)
        except OSError as error:
            message = f"cannot make {folder} for PostgreSQL's data: {error.strerror}; run as an ordinary user"
            raise ServiceError(message) from error
    place = DataPlace(folder=folder, account=_account_of(folder))
    place.give(folder)
    if not _can_write(place.account, "/", str(folder)):
        message = f"{folder} cannot be used by PostgreSQL's account; run as an ordinary user"
        raise ServiceError(message)
    note.write_text(str(folder), encoding="utf-8")
    return place
