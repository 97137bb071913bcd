"""Pulls through the real pip from a folder of wheels, and through the real hub client from a server on loopback."""

import hashlib
import re
import socket
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from huggingface_hub import close_session

from pipeline.adapters.models import (
    CatalogueEntry,
    HubFile,
    HubSource,
    IndexPart,
    IndexSource,
    ModelCatalogue,
    ModelState,
    ModelStore,
)
from pipeline.domain.errors import ModelError

PIECE_BYTES = 40_000


def gguf() -> bytes:
    architecture = b"".join(struct.pack("<Q", len(word)) + word for word in (b"general.architecture",))
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + architecture + struct.pack("<IQ", 8, 5) + b"llama"
    head += struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, 25_000, 0, 0)
    noise = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(100_000 // 32))
    return head + b"\0" * (-len(head) % 32) + noise


MODEL = gguf()
PIECES = [MODEL[start : start + PIECE_BYTES] for start in range(0, len(MODEL), PIECE_BYTES)]
PARTS = tuple(
    IndexPart(distribution=f"headrace-tiny-part{n}", version="1.0", member=f"headrace_tiny_part{n}/data/part{n:02}.bin")
    for n in range(1, len(PIECES) + 1)
)
ENTRY = CatalogueEntry(
    name="tiny",
    file="tiny.gguf",
    size_bytes=len(MODEL),
    sha256=hashlib.sha256(MODEL).hexdigest(),
    licence="Apache-2.0",
    context_tokens=64,
    official=HubFile(repository="headrace/tiny", revision="a" * 40, file="tiny.gguf"),
    index=PARTS,
)


def write_wheel(folder: Path, part: IndexPart, content: bytes) -> None:
    name = part.distribution.replace("-", "_")
    info = f"{name}-{part.version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{part.version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('a wheel with a model was imported')\n")
        archive.writestr(part.member, content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {part.distribution}\nVersion: {part.version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Fill a folder that serves as the package index with every part."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for part, piece in zip(PARTS, PIECES, strict=True):
        write_wheel(folder, part, piece)
    return folder


def index_store(tmp_path: Path, shelf: Path, *first: HubSource) -> ModelStore:
    environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": shelf.as_uri(), "PIP_CONFIG_FILE": "/dev/null"}
    return ModelStore(
        tmp_path / "my models",
        catalogue=ModelCatalogue((ENTRY,)),
        sources=(*first, IndexSource(environment=environment)),
    )


def test_a_model_in_several_wheels_is_joined_and_nothing_else_is_left(tmp_path: Path, shelf: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    models = index_store(tmp_path, shelf)
    pulled = models.pull("tiny", lambda *step: seen.append(step))
    assert pulled.path.read_bytes() == MODEL
    assert {total for _, total, _ in seen} == {len(MODEL)}
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert done[-1] == len(MODEL)
    assert sorted(path.name for path in models.folder.iterdir()) == [".tiny.lock", "tiny.gguf"]


def test_a_pull_that_stopped_half_way_does_not_download_the_parts_that_came(tmp_path: Path, shelf: Path) -> None:
    models = index_store(tmp_path, shelf)
    last = next(shelf.glob("*part3*"))
    aside = last.rename(tmp_path / last.name)
    with pytest.raises(ModelError, match=r"could not download headrace-tiny-part3==1\.0"):
        models.pull("tiny")
    (listing,) = models.list()
    assert listing.state is ModelState.PARTIAL
    for wheel in shelf.glob("*.whl"):
        wheel.unlink()  # what is staged must be enough
    aside.rename(last)
    assert models.pull("tiny").path.read_bytes() == MODEL


def test_a_staged_wheel_that_was_cut_off_is_downloaded_again(tmp_path: Path, shelf: Path) -> None:
    models = index_store(tmp_path, shelf)
    staging = models.folder / ".pull-tiny"
    staging.mkdir(parents=True)
    (staging / "headrace-tiny-part1-1.0.whl").write_bytes(next(shelf.glob("*part1*")).read_bytes()[:500])
    assert models.pull("tiny").path.read_bytes() == MODEL


def test_wheels_with_other_bytes_are_refused_thrown_away_and_asked_for_again(tmp_path: Path, shelf: Path) -> None:
    models = index_store(tmp_path, shelf)
    write_wheel(shelf, PARTS[1], PIECES[1][:-1] + b"!")
    with pytest.raises(ModelError, match="another SHA-256"):
        models.pull("tiny")
    assert not (models.folder / "tiny.gguf").exists()
    assert not list(models.folder.rglob("*.whl"))
    write_wheel(shelf, PARTS[1], PIECES[1])
    assert models.pull("tiny").path.read_bytes() == MODEL


def test_ctrl_c_stops_pip_gives_the_lock_back_and_loses_nothing_that_came(tmp_path: Path, shelf: Path) -> None:
    def interrupt(_done: int, _total: int, note: str) -> None:
        steps.append(note)
        if steps.count("the package index, part 2 of 3") == 2:  # the second time is said while pip runs
            raise KeyboardInterrupt

    steps: list[str] = []
    models = index_store(tmp_path, shelf)
    # Other tests' servers are children of this process too.
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(KeyboardInterrupt):
        models.pull("tiny", interrupt)
    assert set(psutil.Process().children(recursive=True)) <= before
    next(shelf.glob("*part1*")).unlink()
    assert models.pull("tiny").path.read_bytes() == MODEL


def test_pips_own_words_reach_the_user(tmp_path: Path) -> None:
    models = index_store(tmp_path, tmp_path)
    with pytest.raises(ModelError, match=r"No matching distribution found for headrace-tiny-part1.*pip\.log"):
        models.pull("tiny")


class Hub:
    """A server with one file that answers as a hub does: HEAD with size and hash, GET with ranges."""

    def __init__(self) -> None:
        self.content = MODEL
        self.tag = ENTRY.sha256
        self.status = 200
        #: Bytes after which the line goes dead, once.
        self.stops_after: int | None = None
        self.ranges: list[str | None] = []
        #: What it was asked for as a proxy.
        self.refused: list[str] = []
        self.endpoint = ""


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub()

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._head(served.status, len(served.content))

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.ranges.append(wanted)
            start = int(re.findall(r"\d+", wanted)[0]) if wanted else 0
            body = served.content[start:]
            self._head(206 if wanted else 200, len(body), start=start)
            if served.stops_after is not None:
                body, served.stops_after = body[: served.stops_after], None
            self.wfile.write(body)
            self.close_connection = True

        def do_CONNECT(self) -> None:
            served.refused.append(self.path)
            self._head(403, 0)
            self.close_connection = True

        def _head(self, status: int, length: int, *, start: int = 0) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{start + length - 1}/{len(served.content)}")
            self.send_header("ETag", f'"{served.tag}"')
            self.send_header("X-Repo-Commit", "a" * 40)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        served.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def hub_store(tmp_path: Path, hub: Hub) -> ModelStore:
    return ModelStore(tmp_path, catalogue=ModelCatalogue((ENTRY,)), sources=(HubSource(endpoint=hub.endpoint),))


def test_the_official_file_is_downloaded_from_the_hub(tmp_path: Path, hub: Hub) -> None:
    seen: list[int] = []
    pulled = hub_store(tmp_path, hub).pull("tiny", lambda done, _total, _note: seen.append(done))
    assert pulled.path.read_bytes() == MODEL
    assert seen[-1] == len(MODEL)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tiny.lock", "tiny.gguf"]


def test_a_download_from_the_hub_goes_on_where_a_killed_pull_stopped(tmp_path: Path, hub: Hub) -> None:
    staging = tmp_path / ".pull-tiny"
    staging.mkdir()
    (staging / "hub.partial").write_bytes(MODEL[:70_000])
    assert hub_store(tmp_path, hub).pull("tiny").path.read_bytes() == MODEL
    assert hub.ranges == ["bytes=70000-"]


def test_a_line_that_goes_dead_is_taken_up_again_in_the_same_pull(tmp_path: Path, hub: Hub) -> None:
    hub.stops_after = 30_000
    assert hub_store(tmp_path, hub).pull("tiny").path.read_bytes() == MODEL
    assert len(hub.ranges) == 2


def test_a_partial_file_with_wrong_bytes_is_thrown_away(tmp_path: Path, hub: Hub) -> None:
    staging = tmp_path / ".pull-tiny"
    staging.mkdir()
    (staging / "hub.partial").write_bytes(b"?" * 70_000)
    models = hub_store(tmp_path, hub)
    with pytest.raises(ModelError, match="another SHA-256"):
        models.pull("tiny")
    assert models.pull("tiny").path.read_bytes() == MODEL


@pytest.mark.parametrize("fault", ["forbidden", "gone", "down", "other size", "other hash"])
def test_a_hub_that_refuses_or_has_another_file_gives_way_to_the_index(
    tmp_path: Path, shelf: Path, hub: Hub, fault: str
) -> None:
    hub.status = {"forbidden": 403, "gone": 404, "down": 503}.get(fault, 200)
    hub.content = MODEL[:-1] if fault == "other size" else MODEL
    hub.tag = "0" * 64 if fault == "other hash" else hub.tag
    pulled = index_store(tmp_path, shelf, HubSource(endpoint=hub.endpoint)).pull("tiny")
    assert pulled.path.read_bytes() == MODEL
    assert hub.ranges == []


@contextmanager
def silent_port() -> Iterator[int]:
    """Open a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_hub_that_cannot_be_reached_gives_way_to_the_index(tmp_path: Path, shelf: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed_port = server.getsockname()[1]
    with silent_port() as port:
        hubs = (
            HubSource(endpoint=f"http://127.0.0.1:{closed_port}"),
            HubSource(endpoint="http://no-such-host.invalid"),
            HubSource(endpoint=f"http://127.0.0.1:{port}", probe_timeout_s=0.2),
        )
        notes: list[str] = []
        models = index_store(tmp_path, shelf, *hubs)
        assert models.pull("tiny", lambda _done, _total, note: notes.append(note)).path.read_bytes() == MODEL
    assert notes.count("Hugging Face could not give it") == len(hubs)


def test_a_proxy_that_refuses_gives_way_to_the_index(
    tmp_path: Path, shelf: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", hub.endpoint)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    close_session()  # the library keeps one client, which knows the proxies of the time it was made
    models = index_store(tmp_path, shelf, HubSource(endpoint="https://no-such-host.invalid"))
    try:
        assert models.pull("tiny").path.read_bytes() == MODEL
    finally:
        close_session()
    assert hub.refused == ["no-such-host.invalid:443"]


def test_when_no_source_gives_the_model_the_error_names_each_and_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    models = index_store(tmp_path, empty, HubSource(endpoint="http://no-such-host.invalid"))
    with pytest.raises(ModelError) as caught:
        models.pull("tiny")
    message = str(caught.value)
    assert "Hugging Face: not reachable" in message
    assert "the package index: pip could not download headrace-tiny-part1==1.0" in message
    assert ENTRY.sha256 in message
    assert "pull again" in message
