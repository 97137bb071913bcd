"""The catalogue names models, sizes, hashes and sources, and a wrong one is refused by key."""

from pathlib import Path

import pytest

from pipeline.adapters.models import FROM_THE_FILE, load_catalogue
from pipeline.domain.errors import ModelError

GOOD = """
[[model]]
name = "tiny"
file = "tiny.gguf"
size_bytes = 10
sha256 = "{sha}"
licence = "Apache-2.0"
context_tokens = 64
index = [{{ distribution = "tiny-part1", version = "1.0", member = "tiny_part1/data/part01.bin" }}]
""".format(sha="0" * 64)


def test_the_models_of_the_package_index_have_sizes_licences_and_all_their_parts() -> None:
    models = {entry.name: entry for entry in load_catalogue() if entry.index}
    assert {name: (entry.size_bytes, entry.licence, entry.context_tokens) for name, entry in models.items()} == {
        "smollm2-135m-instruct": (98_362_432, "Apache-2.0", 8192),
        "qwen2.5-coder-0.5b-instruct": (491_400_064, "Apache-2.0", 32768),
        "qwen2.5-coder-1.5b-instruct": (1_117_320_768, "Apache-2.0", 32768),
        "gemma-3-270m": (253_113_024, "Gemma Terms of Use", 32768),
    }
    assert {name: len(entry.index) for name, entry in models.items()} == {
        "smollm2-135m-instruct": 1,
        "qwen2.5-coder-0.5b-instruct": 6,
        "qwen2.5-coder-1.5b-instruct": 22,
        "gemma-3-270m": 4,
    }


@pytest.mark.parametrize(
    "family", ["phi-", "gemma-", "mistral-", "ministral-", "llama-", "qwen3-", "qwen2.5-", "smollm2-"]
)
def test_the_families_that_people_name_are_there(family: str) -> None:
    assert [entry for entry in load_catalogue() if entry.name.startswith(family) and entry.official is not None]


def test_no_two_models_share_a_hash_and_no_hash_is_made_up() -> None:
    hashes = [entry.sha256 for entry in load_catalogue()]
    assert len(set(hashes)) == len(hashes)
    assert all(len(set(found)) > 8 for found in hashes), "the digits of a hash are many"


def test_an_instruction_model_takes_its_template_from_the_file_and_a_base_model_has_none() -> None:
    templates = {entry.name: entry.chat_template for entry in load_catalogue()}
    assert templates.pop("gemma-3-270m") is None
    assert templates.pop("all-minilm-l6-v2") is None, "an encoder is asked nothing"
    assert set(templates.values()) == {FROM_THE_FILE}


def test_the_parts_of_a_model_are_numbered_in_the_order_in_which_they_are_joined() -> None:
    for entry in load_catalogue():
        if len(entry.index) > 1:
            numbers = [int(part.distribution.rpartition("part")[2]) for part in entry.index]
            assert numbers == list(range(1, len(entry.index) + 1))
            assert [part.member for part in entry.index] == sorted(
                (part.member for part in entry.index), key=lambda member: member[-12:]
            )


def test_every_model_but_one_has_an_official_file_pinned_to_a_commit() -> None:
    without = [entry.name for entry in load_catalogue() if entry.official is None and entry.made is None]
    assert without == ["gemma-3-270m"]
    revisions = [entry.official.revision for entry in load_catalogue() if entry.official is not None]
    assert len(set(revisions)) == len(revisions)


def test_an_encoder_is_made_from_official_files_that_one_wheel_carries_too() -> None:
    made = load_catalogue().entry("all-minilm-l6-v2").made
    assert made is not None
    assert {part.official.repository for part in (made.weights, made.vocabulary)} == {
        "sentence-transformers/all-MiniLM-L6-v2"
    }
    assert len({one.requirement for part in (made.weights, made.vocabulary) for one in part.index}) == 1


def test_a_name_is_found_in_any_case_and_an_unknown_one_names_its_neighbour() -> None:
    catalogue = load_catalogue()
    assert catalogue.entry("SmolLM2-135M-Instruct").name == "smollm2-135m-instruct"
    assert catalogue.find("nosuch") is None
    with pytest.raises(ModelError, match=r"did you mean qwen2\.5-coder-0\.5b-instruct\?"):
        catalogue.entry("qwen2.5-coder-0.5b")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "tiny"', 'name = "Tiny"', "model.0.name"),
        ('file = "tiny.gguf"', 'file = "../tiny.gguf"', "model.0.file"),
        ('file = "tiny.gguf"', 'file = ".hidden"', "model.0.file"),
        ('sha256 = "0', 'sha256 = "g', "model.0.sha256"),
        ("size_bytes = 10", "size_bytes = 0", "model.0.size_bytes"),
        ("context_tokens = 64", "context = 64", "model.0.context"),
        ('distribution = "tiny-part1"', 'distribution = "--index-url"', "model.0.index.0.distribution"),
        ('version = "1.0"', 'version = "1.0 --pre"', "model.0.index.0.version"),
        ("index = [", "other = [", "model.0.other"),
        ("[[model]]", "[[model", "cannot be read"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_key(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "catalogue.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ModelError, match=complaint):
        load_catalogue(path)


def test_a_model_without_any_source_and_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(GOOD[: GOOD.index("index = [")])
    with pytest.raises(ModelError, match="give the model a source"):
        load_catalogue(path)
    path.write_text(GOOD + GOOD)
    with pytest.raises(ModelError, match="same name"):
        load_catalogue(path)


def test_a_missing_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_catalogue(tmp_path / "none.toml")
