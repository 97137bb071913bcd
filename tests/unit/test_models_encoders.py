"""An encoder is made from what its makers publish: the same bytes everywhere, or a clear refusal."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.adapters.models import CatalogueEntry, HubFile, ModelCatalogue, ModelStore, Progress, read_header
from pipeline.adapters.models.catalogue import Ingredient, Made
from pipeline.adapters.models.encoders import write_encoder
from pipeline.adapters.models.sources import SourceUnavailable
from pipeline.domain.errors import ModelError
from tests.tiny_encoder import HEADS, LAYERS, POSITIONS, WIDTH, WORDS, published, sha256_of, tiny_encoder, weights


def test_the_file_says_of_itself_what_the_published_ones_hold(tmp_path: Path) -> None:
    header = read_header(tiny_encoder(tmp_path))
    assert (header.architecture, header.is_encoder, header.context_tokens) == ("bert", True, POSITIONS)
    measures = header.measures
    assert (measures.layers, measures.embedding, measures.heads) == (LAYERS, WIDTH, HEADS)
    assert (measures.feed_forward, measures.vocabulary) == (4 * WIDTH, len(WORDS))


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    one, other = tiny_encoder(tmp_path / "one"), tiny_encoder(tmp_path / "other")
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("missing", "words", "complaint"),
    [
        ("embeddings.word_embeddings.weight", WORDS, "token_embd.weight"),
        ("encoder.layer.0.intermediate.dense.weight", WORDS, "blk.0.ffn_up.weight"),
        ("", WORDS[:-1], f"{len(WORDS) - 1} words for {len(WORDS)} vectors"),
        ("", [word for word in (*WORDS, "more") if word != "[CLS]"], r"\[CLS\]"),
    ],
)
def test_files_that_are_no_encoder_are_refused_by_name(
    tmp_path: Path, missing: str, words: list[str], complaint: str
) -> None:
    save_file({name: one for name, one in weights().items() if name != missing}, tmp_path / "weights")
    (tmp_path / "words").write_text("\n".join(words), encoding="utf-8")
    with pytest.raises(ModelError, match=f"the files of odd are those of no BERT encoder: .*{complaint}"):
        write_encoder(tmp_path / "weights", tmp_path / "words", tmp_path / "out.gguf", name="odd", heads=HEADS)


def test_tensors_of_another_kind_of_model_are_refused(tmp_path: Path) -> None:
    save_file({"model.layers.0.self_attn.q_proj.weight": np.zeros((4, 4), np.float32)}, tmp_path / "weights")
    (tmp_path / "words").write_text("\n".join(WORDS), encoding="utf-8")
    with pytest.raises(ModelError, match="no BERT encoder"):
        write_encoder(tmp_path / "weights", tmp_path / "words", tmp_path / "out.gguf", name="odd", heads=HEADS)


class Shelf:
    """A source in memory: gives each file under the name that the hub has for it."""

    label = "a shelf"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.given: list[str] = []

    def offers(self, entry: CatalogueEntry) -> bool:
        return entry.official is not None

    def reach(self, entry: CatalogueEntry) -> None:
        if entry.official is None or entry.official.file not in self.files:
            msg = "it is not on it"
            raise SourceUnavailable(msg)

    def bytes_to_write(self, entry: CatalogueEntry, staging: Path) -> int:
        assert staging.is_dir()
        return entry.size_bytes

    def fetch(self, entry: CatalogueEntry, staging: Path, progress: Progress) -> Path:
        assert entry.official is not None
        progress(0, entry.size_bytes, "fetching")
        self.given.append(entry.official.file)
        path = staging / "shelf.partial"
        path.write_bytes(self.files[entry.official.file])
        return path

    def discard(self, entry: CatalogueEntry, staging: Path) -> None:
        assert entry.size_bytes
        (staging / "shelf.partial").unlink()


def entry_of(folder: Path) -> tuple[CatalogueEntry, Shelf]:
    """Return a catalogue's entry for the tiny encoder, and a shelf that has its files."""
    made = tiny_encoder(folder)
    paths = published(folder / "shelf")
    ingredients = [
        Ingredient(
            size_bytes=path.stat().st_size,
            sha256=sha256_of(path),
            official=HubFile(repository="headrace/tiny", revision="a" * 40, file=path.name),
        )
        for path in paths
    ]
    entry = CatalogueEntry(
        name="tiny-encoder",
        file="tiny-encoder-f16.gguf",
        size_bytes=made.stat().st_size,
        sha256=sha256_of(made),
        licence="Apache-2.0",
        context_tokens=POSITIONS,
        made=Made(weights=ingredients[0], vocabulary=ingredients[1], heads=HEADS),
    )
    return entry, Shelf({path.name: path.read_bytes() for path in paths})


def store_of(folder: Path, entry: CatalogueEntry, shelf: Shelf) -> ModelStore:
    return ModelStore(folder / "models", catalogue=ModelCatalogue((entry,)), sources=(shelf,))


def test_a_pull_fetches_what_an_encoder_is_made_from_and_leaves_the_encoder_only(tmp_path: Path) -> None:
    entry, shelf = entry_of(tmp_path)
    store = store_of(tmp_path, entry, shelf)
    pulled = store.pull("tiny-encoder")
    assert (pulled.sha256, pulled.header.is_encoder) == (entry.sha256, True)
    assert shelf.given == ["model.safetensors", "vocab.txt"]
    assert sorted(path.name for path in store.folder.iterdir()) == [".tiny-encoder.lock", "tiny-encoder-f16.gguf"]
    store.pull("tiny-encoder")
    assert len(shelf.given) == 2, "it is there already"


def test_what_came_of_a_pull_that_failed_is_not_fetched_again_and_may_be_put_there_by_hand(tmp_path: Path) -> None:
    entry, shelf = entry_of(tmp_path)
    words = shelf.files.pop("vocab.txt")
    store = store_of(tmp_path, entry, shelf)
    with pytest.raises(ModelError) as refused:
        store.pull("tiny-encoder")
    hint = str(refused.value)
    assert "the model tiny-encoder (vocabulary) could not be fetched. a shelf: it is not on it" in hint
    place = Path(hint.rpartition(" at ")[2])
    assert place.parent.is_dir()
    place.write_bytes(words)
    assert store.pull("tiny-encoder").sha256 == entry.sha256
    assert shelf.given == ["model.safetensors"]


def test_a_file_with_another_hash_is_thrown_away_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    entry, shelf = entry_of(tmp_path)
    shelf.files["vocab.txt"] = shelf.files["vocab.txt"].replace(b"hello", b"jello")
    with pytest.raises(ModelError, match="another SHA-256 than the catalogue's"):
        store_of(tmp_path, entry, shelf).pull("tiny-encoder")


def test_an_encoder_that_comes_out_other_than_the_catalogue_says_is_not_kept(tmp_path: Path) -> None:
    entry, shelf = entry_of(tmp_path)
    store = store_of(tmp_path, entry.model_copy(update={"sha256": "0" * 64}), shelf)
    with pytest.raises(ModelError, match="is not what the catalogue says: this is a bug"):
        store.pull("tiny-encoder")
    assert not (store.folder / entry.file).exists()


def test_an_entry_that_is_made_names_no_source_of_its_own(tmp_path: Path) -> None:
    entry, _ = entry_of(tmp_path)
    with pytest.raises(ValueError, match="has no source of its own"):
        CatalogueEntry.model_validate({**entry.model_dump(), "official": entry.made and entry.made.weights.official})
