"""When a line was written, as far as its header says."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.logs.headers import LAYOUTS
from pipeline.domain.logs.moments import moment_of
from pipeline.domain.logs.reading import Reading

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        ({"timestamp": "1122400971", "time": "whatever"}, "2005-07-26T18:02:51+00:00"),
        ({"time": "1140099718"}, "2006-02-16T14:21:58+00:00"),
        ({"month": "Jun", "day": "14", "time": "15:16:01"}, "2026-06-14T15:16:01+00:00"),
        ({"month": "Dec", "day": "10", "time": "06:55:46"}, "2025-12-10T06:55:46+00:00"),
        ({"month": "Nov", "day": "27", "time": "23:00:00"}, "2026-11-27T23:00:00+00:00"),
        ({"month": "Feb", "day": "29", "time": "01:00:00"}, "2024-02-29T01:00:00+00:00"),
        ({"date": "2015-07-29", "time": "17:41:44,747"}, "2015-07-29T17:41:44.747000+00:00"),
        ({"date": "17/06/09", "time": "20:10:40"}, "2017-06-09T20:10:40+00:00"),
        ({"date": "081109", "time": "203615"}, "2008-11-09T20:36:15+00:00"),
        ({"date": "03-17", "time": "16:13:38.811"}, "2026-03-17T16:13:38.811000+00:00"),
        ({"date": "10.30", "time": "16:49:06"}, "2026-10-30T16:49:06+00:00"),
        ({"time": "Sun Dec 04 04:47:44 2005"}, "2005-12-04T04:47:44+00:00"),
        ({"time": "27/Nov/2026:10:00:00 +0200"}, "2026-11-27T08:00:00+00:00"),
        ({"time": "2026-11-27T10:00:00.5Z"}, "2026-11-27T10:00:00.500000+00:00"),
        ({"time": "2026-11-27T10:00:00-05:30"}, "2026-11-27T15:30:00+00:00"),
        ({"time": "20171223-22:15:29:606"}, "2017-12-23T22:15:29.606000+00:00"),
        ({"time": "20171223-22:5:9:6"}, "2017-12-23T22:05:09.600000+00:00"),
        ({"date": "2026-13-45", "time": "10:00:00"}, None),
        ({"time": "soon"}, None),
        ({"level": "INFO"}, None),
    ],
)
def test_headers_tell_when_a_line_was_written(fields: dict[str, str], moment: str | None) -> None:
    found = moment_of(fields, latest=NOW)
    assert (None if found is None else found.isoformat()) == moment


@given(
    st.sampled_from(
        ["10:20:30", "2026-11-27T10:20:30", "2026-11-27-10.20.30", "27/Nov/2026:10:00:00", "1796002400", "1:2"]
    ),
    st.sampled_from(["", ".", ",", ":"]),
    st.sampled_from(["", "0", "25", "123456789", "1234567890", "x"]),
    st.sampled_from(["", "Z", "+02:00", " +0200"]),
    st.sampled_from([{}, {"date": "2026-11-27"}, {"month": "Nov", "day": "27"}, {"timestamp": "1796002400"}]),
)
def test_moments_that_are_remembered_by_their_second_are_those_that_the_header_tells(
    clock: str, sign: str, fraction: str, zone: str, more: dict[str, str]
) -> None:
    fields = {**more, "time": clock + sign + fraction + zone}
    reading = Reading(layout=LAYOUTS["plain"], latest=NOW)
    for _ in range(2):
        assert reading.moment(fields) == moment_of(fields, latest=NOW)
