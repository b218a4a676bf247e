"""The window of open seqs, against a twin that remembers everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shardrouter.window import SeqWindow


@given(st.integers(1, 5), st.lists(st.one_of(st.none(), st.integers(0, 10)), max_size=60))
def test_the_watermark_is_below_every_open_seq(limit: int, steps: list[int | None]) -> None:
    """A step opens a seq (None) or settles one of those that are open."""
    window = SeqWindow(limit)
    opened: list[int] = []
    still_open: list[int] = []
    for step in steps:
        if step is None:
            seq = window.open()
            lowest = min(still_open, default=len(opened) + 1)
            assert (seq is None) == (len(opened) - lowest + 1 >= limit)
            if seq is not None:
                assert seq == len(opened) + 1
                opened.append(seq)
                still_open.append(seq)
        elif still_open:
            window.settle(still_open.pop(step % len(still_open)))
        assert window.watermark == min(still_open, default=len(opened) + 1) - 1
