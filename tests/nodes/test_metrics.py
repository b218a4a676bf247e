"""What is counted, the text of it, and the page where it is read."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from nodes.config import Address
from nodes.metrics import Family, Latencies, exposition, family, in_words, labelled, read_exposition
from nodes.metrics_page import CONNECTIONS_MAX, HEAD_BYTES_MAX, MetricsPage, MetricsUnavailable
from nodes.protocol import NotLeader

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def read(families: list[Family]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """As Prometheus does."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for each in text_string_to_metric_families(exposition(families))
        for sample in each.samples
    }


@given(st.dictionaries(TEXTS, st.integers(0, 2**53), max_size=4), TEXTS)
def test_any_label_and_number_is_read_as_it_was(counts: dict[str, int], note: str) -> None:
    families = [family("asked_total", "counter", note, counts, "what")]
    found = read(families)
    assert read_exposition(exposition(families)) == found
    assert found == {("asked_total", (("what", text),)): n for text, n in counts.items()}


@given(st.lists(st.floats(0, 100), max_size=50))
def test_a_histogram_counts_what_is_not_above_each_limit(times: list[float]) -> None:
    latencies = Latencies()
    for seconds in times:
        latencies.note(seconds)
    found = read([family("took_seconds", "histogram", "Time.", latencies)])
    assert found["took_seconds_count", ()] == len(times) == latencies.count
    assert found["took_seconds_sum", ()] == pytest.approx(sum(times))
    for (name, labels), count in found.items():
        if name == "took_seconds_bucket":
            limit = float(labels[0][1])
            assert count == sum(int(seconds * 1e6) < limit * 1e6 for seconds in times), limit


def test_families_of_several_processes_are_told_apart() -> None:
    processes = {
        worker: [
            family("clients", "gauge", "Them.", float(worker)),
            family("asked_total", "counter", "Questions.", {"a": int(worker)}, "what"),
        ]
        for worker in "12"
    }
    merged = labelled(processes, "worker")
    assert [each.name for each in merged] == ["clients", "asked_total"]
    assert read(merged) == {
        ("clients", (("worker", "1"),)): 1,
        ("clients", (("worker", "2"),)): 2,
        ("asked_total", (("what", "a"), ("worker", "1"))): 1,
        ("asked_total", (("what", "a"), ("worker", "2"))): 2,
    }


def test_messages_are_named_in_words() -> None:
    assert in_words(NotLeader) == "not_leader"


# ------------------------------------------------------------------------------ the page


async def gather() -> list[Family]:
    return [family("up", "gauge", "It is.", 1)]


async def asked(address: Address, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


ANYWHERE = Address("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /metrics?name=up HTTP/1.0\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../secret HTTP/1.1\r\n\r\n", b"404"),
        (b"\x00\x00\x00\x08\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 2 * HEAD_BYTES_MAX + b"\r\n\r\n", b"431"),
    ],
)
async def test_the_page_answers_what_is_asked_and_nothing_else(
    request_: bytes, status: bytes
) -> None:
    async with MetricsPage(ANYWHERE, gather) as page:
        answer = await asked(page.address, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    is_page = status == b"200" and not request_.startswith(b"HEAD")
    assert (body == exposition(await gather()).encode()) is is_page


async def test_who_says_nothing_or_comes_in_crowds_keeps_nobody_out_for_long() -> None:
    async with MetricsPage(ANYWHERE, gather) as page:
        host, port = page.address.host, page.address.port
        silent = [await asyncio.open_connection(host, port) for _ in range(CONNECTIONS_MAX)]
        assert await asked(page.address, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()
        answer = b""
        while not answer:  # until the page has heard of it
            answer = await asked(page.address, b"GET /metrics HTTP/1.1\r\n\r\n")
        with pytest.raises(MetricsUnavailable, match="in use by another process"):
            await MetricsPage(page.address, gather).__aenter__()


async def test_a_page_that_cannot_be_gathered_answers_nothing_and_goes_on() -> None:
    fails = True

    async def sometimes() -> list[Family]:
        if fails:
            raise KeyError("a bug")
        return await gather()

    async with MetricsPage(ANYWHERE, sometimes) as page:
        assert await asked(page.address, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        fails = False
        assert b"200 OK" in await asked(page.address, b"GET /metrics HTTP/1.1\r\n\r\n")
