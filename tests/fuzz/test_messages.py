"""What a neighbour may put on the queue: each message is ours or is refused, and the counting of messages goes on."""

import base64
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from pipeline import messages
from pipeline.adapters.celery_queue import chunk_ids_in
from tests.fuzz.mutations import bytes_near, data_near, values

Fuzzed: TypeAlias = Callable[..., None]
BODY = {"version": 1, "chunk_id": 7}
ENVELOPE = {
    "body": base64.b64encode(json.dumps([[], BODY, {}]).encode()).decode(),
    "content-type": "application/json",
    "headers": {"task": "headrace.judge"},
    "properties": {"delivery_tag": "x"},
}


def test_no_body_is_taken_for_another_message_than_it_is(fuzzed: Fuzzed) -> None:
    def reads(body: dict[str, Any]) -> None:
        message = messages.read(body)
        assert {"version": 1, **body} == {"version": 1, "chunk_id": message.chunk_id}

    fuzzed(reads, body=data_near(BODY) | st.dictionaries(st.text(max_size=9), values, max_size=3))


def test_no_bytes_on_the_queue_stop_the_counting_of_chunks(fuzzed: Fuzzed) -> None:
    def counts(raw: bytes) -> None:
        for found in chunk_ids_in(raw):
            assert 0 <= found < 1 << 63, "a chunk's id as the store can hold it"

    whole = json.dumps(ENVELOPE).encode()
    fuzzed(
        counts,
        raw=bytes_near([whole, b"[%s, 1, 2]" % whole]) | st.binary(max_size=99),
    )


def test_no_envelope_stops_the_counting_of_chunks(fuzzed: Fuzzed) -> None:
    def counts(body: Any) -> None:  # noqa: ANN401 — a neighbour's values
        written = base64.b64encode(json.dumps(body).encode()).decode()
        for raw in ({**ENVELOPE, "body": written}, {**ENVELOPE, "body": body}, body):
            chunk_ids_in(json.dumps(raw).encode())

    fuzzed(counts, body=data_near({"": [[], BODY, {}]}).map(lambda data: data.get("")) | values)
