"""The catalogue's sentence encoder, made from its makers' files: what it says of texts, and what it takes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.llama.encoder import ENCODER_BATCH_TOKENS, MOST_TOKENS, SentenceEncoder
from pipeline.adapters.models import encoder_need, read_header
from tests.integration.own_memory import STATUS

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]
NAME = "all-minilm-l6-v2"
MEASURE = """
import sys
from pathlib import Path
from pipeline.adapters.llama.encoder import SentenceEncoder
from pipeline.adapters.llama.library import llama
from tests.integration.own_memory import own_bytes

llama()
before = own_bytes()
encoder = SentenceEncoder(Path(sys.argv[1]), model_name="x", threads=2)
encoder.encode(["the app crashes on start " * 100] * 8)
print(own_bytes() - before)
"""


@pytest.fixture(scope="module")
def path(model_path: Callable[[str], Path]) -> Path:
    return model_path(NAME)


@pytest.fixture(scope="module")
def encoder(path: Path) -> Iterator[SentenceEncoder]:
    made = SentenceEncoder(path, model_name=NAME, threads=2)
    yield made
    made.close()


def test_texts_that_mean_the_like_in_other_words_lie_nearer_than_others(encoder: SentenceEncoder) -> None:
    pairs = [
        ("I was billed two times", "there is a double charge on my card"),
        ("the program quits unexpectedly", "your software keeps crashing"),
        ("what will it be like outside tomorrow", "give me the weather forecast"),
        ("how do I reset my login", "I forgot my password"),
    ]
    one, other = (encoder.encode(texts).vectors for texts in zip(*pairs, strict=True))
    alike = one @ other.T
    assert alike.argmax(axis=1).tolist() == list(range(len(pairs)))
    assert alike.diagonal().min() > 0.35


def test_a_long_text_counts_up_to_where_its_makers_cut_it(encoder: SentenceEncoder) -> None:
    assert encoder.encode(["word " * 1000]).tokens == (MOST_TOKENS,)


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells what is a process's own")
def test_the_estimate_of_memory_is_within_a_quarter_of_what_is_measured(path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    measured_bytes = int(run.stdout.splitlines()[-1])
    need = encoder_need(read_header(path).measures, batch_tokens=ENCODER_BATCH_TOKENS)
    assert need is not None
    assert 0.9 * measured_bytes <= need.compute_bytes <= 1.25 * measured_bytes
