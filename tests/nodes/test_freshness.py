"""How old a state can be at most: the rule against its definition, at random, and its economy."""

from __future__ import annotations

import random

import pytest

from nodes.freshness import RENEW_FOR_S, Freshness, Round


class Replica:
    """A log that grows at a leader, a replica that asks for its end, and reads that remember what
    they have to see."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.acknowledged: list[float] = []  # when each entry was
        self.applied = 0  # entries, at the replica
        self.under_way: list[tuple[int, Round[int]]] = []  # the ReadIndex, and its round
        self.rounds = 0
        self.reads = 0
        self.freshness: Freshness[int] = Freshness(self.ask)

    def ask(self, begun: Round[int]) -> None:
        self.rounds += 1
        self.under_way.append((len(self.acknowledged), begun))

    def read(self, allowed_s: float) -> None:
        must_see = sum(at < self.now - allowed_s for at in self.acknowledged)
        if self.freshness.serves(self.now, allowed_s):
            self.served([must_see])
        else:
            self.freshness.wait(self.now, allowed_s, must_see)

    def served(self, reads: list[int]) -> None:
        for must_see in reads:
            self.reads += 1
            assert self.applied >= must_see, "it is older than the read allows"

    def step(self) -> None:
        rng = self.rng
        self.now += rng.expovariate(100)
        match rng.randrange(6):
            case 0 | 1:
                self.acknowledged.append(self.now)
            case 2 | 3:
                self.read(rng.choice([0.0, 0.01, 0.1, 0.5]))
            case 4:
                self.freshness.tick(self.now)
        if self.under_way and rng.random() < 0.3:
            index, told = self.under_way.pop(rng.randrange(len(self.under_way)))
            if rng.random() < 0.2:
                self.freshness.failed(told)
            else:
                self.applied = max(self.applied, index)
                self.served(self.freshness.confirmed(told))


@pytest.mark.parametrize("seed", range(20))
def test_every_write_acknowledged_before_what_a_read_allows_is_seen(seed: int) -> None:
    """Answers come late, in any order, or never."""
    replica = Replica(seed)
    for _ in range(1000):
        replica.step()
    assert replica.reads > 100
    assert replica.freshness.waiting <= sum(len(told.reads) for _, told in replica.under_way)


def test_one_read_index_serves_all_reads_of_the_time_that_they_allow() -> None:
    replica = Replica(1)
    for _ in range(10):
        replica.read(1.0)  # before its answer
    replica.served(replica.freshness.confirmed(replica.under_way.pop()[1]))
    for _ in range(99):
        replica.now += 0.01
        replica.read(1.0)
    assert (replica.reads, replica.rounds) == (109, 1)
    replica.now += 0.02
    replica.read(1.0)
    assert (replica.reads, replica.rounds) == (109, 2)


def test_a_replica_that_is_read_so_asks_anew_before_it_has_to_and_ends_when_it_is_not() -> None:
    replica = Replica(1)
    replica.read(0.5)
    replica.served(replica.freshness.confirmed(replica.under_way.pop()[1]))
    for _ in range(100):
        replica.now += 0.05
        replica.freshness.tick(replica.now)
        for _, told in replica.under_way:
            replica.freshness.confirmed(told)
        replica.under_way.clear()
        if replica.now <= 2.0:
            replica.read(0.5)
    waited = 1
    assert replica.reads > 35
    assert replica.freshness.waiting == 0, "none of them waited"
    assert replica.rounds - waited <= (2.0 + RENEW_FOR_S) / 0.25
