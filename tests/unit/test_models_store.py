"""The store hands out only files that were checked, and a pull leaves nothing in place that is not right."""

import fcntl
import hashlib
import struct
import threading
from pathlib import Path

import pytest

from pipeline.adapters.models import CatalogueEntry, IndexPart, ModelCatalogue, ModelState, ModelStore, Progress
from pipeline.adapters.models.sources import SourceUnavailable
from pipeline.domain.errors import ModelError
from pipeline.wiring.tuning import shipped_model


def gguf(*, tensors: int = 1, split_count: int = 1) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, 2)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("split.count") + struct.pack("<IH", 2, split_count)
    head += (text("w") + struct.pack("<IQIQ", 1, 8, 0, 0)) * tensors
    return head + b"\0" * (-len(head) % 32) + b"\7" * 32


MODEL = gguf()
ENTRY = CatalogueEntry(
    name="tiny",
    file="tiny.gguf",
    size_bytes=len(MODEL),
    sha256=hashlib.sha256(MODEL).hexdigest(),
    licence="Apache-2.0",
    context_tokens=64,
    index=(IndexPart(distribution="tiny", version="1.0", member="tiny.bin"),),
)


class Shelf:
    """A source in memory: gives `content` in two pieces, stopping after the first as often as it is told to."""

    def __init__(self, content: bytes, *, label: str = "a shelf", breaks: int = 0, needs_bytes: int = 0) -> None:
        self.content = content
        self.label = label
        self.breaks = breaks
        self.needs_bytes = needs_bytes
        self.bytes_given = 0
        self.discarded = 0

    def offers(self, entry: CatalogueEntry) -> bool:
        return bool(entry.index)

    def reach(self, entry: CatalogueEntry) -> None:
        if not self.content:
            msg = f"nothing on it for {entry.name}"
            raise SourceUnavailable(msg)

    def bytes_to_write(self, entry: CatalogueEntry, staging: Path) -> int:
        assert staging.is_dir()
        return self.needs_bytes or entry.size_bytes

    def fetch(self, entry: CatalogueEntry, staging: Path, progress: Progress) -> Path:
        path = staging / "piece"
        done = path.stat().st_size if path.exists() else 0
        half = len(self.content) // 2
        end = half if done < half and self.breaks else len(self.content)
        with path.open("ab") as stream:
            stream.write(self.content[done:end])
        self.bytes_given += end - done
        progress(end, entry.size_bytes, self.label)
        if end == half:
            self.breaks -= 1
            msg = "the line went dead"
            raise SourceUnavailable(msg)
        return path

    def discard(self, entry: CatalogueEntry, staging: Path) -> None:
        assert entry.index
        (staging / "piece").unlink()
        self.discarded += 1


def store(folder: Path, *shelves: Shelf) -> ModelStore:
    return ModelStore(folder, catalogue=ModelCatalogue((ENTRY,)), sources=shelves)


def state(found: ModelStore, *, check_hashes: bool = False) -> ModelState:
    (listing,) = found.list(check_hashes=check_hashes)
    return listing.state


def test_a_pull_puts_the_file_in_place_and_leaves_no_pieces(tmp_path: Path) -> None:
    models = store(tmp_path / "new" / "models", Shelf(MODEL))
    assert state(models) is ModelState.ABSENT
    pulled = models.pull("TINY")
    assert pulled.path.read_bytes() == MODEL
    assert (pulled.sha256, pulled.entry, pulled.header.architecture) == (ENTRY.sha256, ENTRY, "llama")
    assert state(models) is ModelState.PRESENT
    assert state(models, check_hashes=True) is ModelState.VERIFIED
    assert [path.name for path in models.folder.iterdir() if path.name != ".tiny.lock"] == ["tiny.gguf"]


def test_an_interrupted_pull_goes_on_where_it_stopped(tmp_path: Path) -> None:
    shelf = Shelf(MODEL, breaks=1)
    models = store(tmp_path, shelf)
    with pytest.raises(ModelError, match=r"a shelf: the line went dead.*pull again"):
        models.pull("tiny")
    assert state(models) is ModelState.PARTIAL
    with pytest.raises(ModelError, match="only partly here: run: headrace models pull tiny"):
        models.path("tiny")
    assert models.pull("tiny").path.read_bytes() == MODEL
    assert shelf.bytes_given == len(MODEL)


def test_the_second_source_is_asked_when_the_first_does_not_give_it(tmp_path: Path) -> None:
    notes: list[str] = []
    models = store(tmp_path, Shelf(b"", label="the first"), Shelf(MODEL, label="the second"))
    models.pull("tiny", lambda _done, _total, note: notes.append(note))
    assert notes.index("asking the first") < notes.index("the first could not give it") < notes.index("the second")


def test_wrong_bytes_are_thrown_away_and_nothing_is_left_in_place(tmp_path: Path) -> None:
    shelf = Shelf(MODEL[:-1] + b"!")
    models = store(tmp_path, shelf)
    with pytest.raises(ModelError, match="another SHA-256"):
        models.pull("tiny")
    assert shelf.discarded == 1
    assert state(models) is ModelState.PARTIAL
    assert not (tmp_path / "tiny.gguf").exists()


def test_a_pull_without_room_says_how_much_it_needs(tmp_path: Path) -> None:
    models = store(tmp_path, Shelf(MODEL, needs_bytes=10**18))
    with pytest.raises(ModelError, match=r"takes 1,000,000,000,067 MB and .* has [\d,]+ MB free"):
        models.pull("tiny")


def test_a_model_that_is_there_is_not_fetched_again_and_a_damaged_one_is(tmp_path: Path) -> None:
    shelf = Shelf(MODEL)
    models = store(tmp_path, shelf)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(MODEL)
    models.pull("tiny")
    assert shelf.bytes_given == 0
    path.write_bytes(MODEL[:-1] + b"!")
    assert state(models) is ModelState.PRESENT
    assert state(models, check_hashes=True) is ModelState.DAMAGED
    assert models.pull("tiny").path.read_bytes() == MODEL


def test_a_model_is_refused_when_its_size_or_hash_is_wrong(tmp_path: Path) -> None:
    models = store(tmp_path)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(MODEL + b"!")
    assert state(models) is ModelState.DAMAGED
    with pytest.raises(ModelError, match=f"{len(MODEL) + 1} bytes instead of {len(MODEL)}"):
        models.path("tiny")
    path.write_bytes(MODEL[:-1] + b"!")
    with pytest.raises(ModelError, match=rf"instead of {ENTRY.sha256}.*headrace models pull tiny"):
        models.verify("tiny")


def test_a_model_that_is_not_here_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not on this machine: run: headrace models pull tiny"):
        store(tmp_path).path("tiny")


def test_a_path_to_a_gguf_is_a_model_with_its_own_hash(tmp_path: Path) -> None:
    path = tmp_path / "my own.gguf"
    path.write_bytes(MODEL)
    found = store(tmp_path).path(str(path))
    assert (found.path, found.sha256, found.entry) == (path, hashlib.sha256(MODEL).hexdigest(), None)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<html>", "does not begin with the letters GGUF"),
        (MODEL[:-1], "truncated"),
        (gguf(tensors=0), "a vocabulary and no model"),
        (gguf(split_count=3), "one of the 3 files of a split model"),
    ],
)
def test_a_path_to_something_else_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=complaint):
        store(tmp_path).path(str(path))


def test_a_path_that_is_not_there_and_an_unknown_name_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model file at"):
        store(tmp_path).path("./tiny-2.gguf")
    with pytest.raises(ModelError, match=r"no model is called 'tinny': did you mean tiny\?.*path of a GGUF file works"):
        store(tmp_path).path("tinny")


def test_what_takes_names_only_does_not_offer_a_path(tmp_path: Path) -> None:
    for refused in (lambda: store(tmp_path).pull("tinny"), lambda: shipped_model(store(tmp_path), "./tiny.gguf")):
        with pytest.raises(ModelError, match="no model is called") as raised:
            refused()
        assert "works too" not in str(raised.value)


def test_a_second_pull_waits_for_the_first_and_then_finds_the_model(tmp_path: Path) -> None:
    shelf = Shelf(MODEL)
    models = store(tmp_path, shelf)
    waiting = threading.Event()

    def progress(_done: int, _total: int, note: str) -> None:
        if "waiting" in note:
            waiting.set()

    with (tmp_path / ".tiny.lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = threading.Thread(target=models.pull, args=("tiny", progress))
        second.start()
        assert waiting.wait(timeout=60)
        (tmp_path / "tiny.gguf").write_bytes(MODEL)
    second.join(timeout=60)
    assert not second.is_alive()
    assert shelf.bytes_given == 0


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file in the way")
    with pytest.raises(ModelError, match="could not be written to"):
        store(tmp_path / "models", Shelf(MODEL)).pull("tiny")
