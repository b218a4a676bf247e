"""Which numbers of a sequence come next."""

from __future__ import annotations

import random
from uuid import RFC_4122, UUID

import pytest

from shardrouter import StatementError
from shardrouter.made_keys import UNIQUE_ID, UUID_V7, KeyMaker
from shardrouter.sequences import State, following
from shardrouter.tables import SqlSequence

UP = SqlSequence("s", 1, minimum=1, maximum=10, increment=3)
DOWN = SqlSequence("s", 1, minimum=-10, maximum=-1, increment=-4, start=-1)


@pytest.mark.parametrize(
    ("sequence", "state", "numbers"),
    [
        (UP, State(1, is_called=False), [1, 4, 7, 10]),
        (UP, State(1, is_called=True), [4, 7, 10]),
        (UP, State(8, is_called=False), [8]),
        (DOWN, State(-1, is_called=False), [-1, -5, -9]),
        (DOWN, State(-5, is_called=True), [-9]),
    ],
)
def test_a_range_ends_where_its_sequence_ends(
    sequence: SqlSequence, state: State, numbers: list[int]
) -> None:
    assert list(following(sequence, state, 9)) == numbers
    assert list(following(sequence, state, 1)) == numbers[:1]


def test_a_sequence_ends_or_begins_again() -> None:
    with pytest.raises(StatementError) as caught:
        following(UP, State(10, is_called=True), 1)
    assert caught.value.sqlstate == "2200H"
    assert caught.value.message == 'nextval: reached maximum value of sequence "s" (10)'
    with pytest.raises(StatementError, match=r"reached minimum value of sequence \"s\" \(-10\)"):
        following(DOWN, State(-9, is_called=True), 1)
    again = SqlSequence("s", 1, minimum=2, maximum=3, start=3, cycle=True)
    assert list(following(again, State(3, is_called=True), 5)) == [2, 3]


def test_a_clock_that_goes_back_repeats_no_key() -> None:
    times = iter([1_800_000_000_000, 1_800_000_000_000, 1_700_000_000_000, 1_800_000_000_005])
    maker = KeyMaker(lambda: next(times), random.Random(1))
    maker.number = 4095
    keys = [int(maker.make(UNIQUE_ID)) for _ in range(4)]
    assert keys == sorted(set(keys))
    fast = KeyMaker(lambda: 1_800_000_000_000, random.Random(1))
    fast.number = 4096 + 7  # as 7
    many = [int(fast.make(UNIQUE_ID)) for _ in range(5000)]
    assert many == sorted(set(many))
    assert not set(many) & set(keys)
    assert max(many) < 2**63


def test_uuids_of_version_7_have_the_time_and_grow() -> None:
    times = iter([1_645_557_742_000, *[1_645_557_742_001] * 5000, 1_600_000_000_000])
    maker = KeyMaker(lambda: next(times), random.Random(1))
    made = [UUID(bytes=bytes(maker.make(UUID_V7))) for _ in range(5002)]
    assert made == sorted(set(made))
    assert str(made[0]).startswith("017f22e2-79b0-7000-"), "as the example of RFC 9562 begins"
    assert all(each.version == 7 and each.variant == RFC_4122 for each in made)
    ms = [each.int >> 80 for each in made]
    assert ms[1] == 1_645_557_742_001
    assert ms[-1] == 1_645_557_742_002, "4096 in a millisecond, then the next"
    assert len({each.int & (1 << 62) - 1 for each in made}) == len(made)
