"""The circuit breaker, in virtual time: what opens it, and what closes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shardrouter.breaker import MEMORY_S, PAUSE_S_MAX, PAUSE_S_MIN, TRIAL_S, Breaker


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(0.0, "it is behind")
    assert breaker.state(0.0) == "open"
    return breaker


def test_a_few_failures_do_not_open_it_and_five_at_once_do() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0, "it is behind")
        assert breaker.admits(0.0)
    breaker.failed(0.0, "it has stopped")
    assert not breaker.admits(0.0)
    assert breaker.reason == "it has stopped"


def test_failures_among_more_successes_do_not_open_it() -> None:
    breaker = Breaker()
    breaker.failed(0.0, "busy")
    for step in range(1000):
        for _ in range(2):
            breaker.succeeded(step * 0.01)
        breaker.failed(step * 0.01, "busy")
        assert breaker.state(step * 0.01) == "closed"


def test_failures_that_are_far_apart_do_not_open_it() -> None:
    breaker = Breaker()
    for step in range(100):
        breaker.failed(step * MEMORY_S, "busy")
        assert breaker.state(step * MEMORY_S) == "closed"


def test_after_a_pause_one_read_tries_and_its_success_closes() -> None:
    breaker = opened()
    assert not breaker.admits(PAUSE_S_MIN * 0.99)
    assert breaker.state(PAUSE_S_MIN) == "half-open"
    assert breaker.admits(PAUSE_S_MIN)
    breaker.asked(PAUSE_S_MIN)
    assert not breaker.admits(PAUSE_S_MIN)  # nobody beside the trial
    breaker.succeeded(PAUSE_S_MIN + 0.001)
    assert breaker.state(PAUSE_S_MIN + 0.001) == "closed"
    for _ in range(4):  # what was before is forgotten
        breaker.failed(PAUSE_S_MIN + 0.001, "busy")
    assert breaker.admits(PAUSE_S_MIN + 0.001)


def test_an_answer_from_before_it_opened_closes_nothing() -> None:
    breaker = opened()
    breaker.succeeded(0.1)
    assert breaker.state(0.1) == "open"
    breaker.failed(PAUSE_S_MIN, "late")  # nor does a late failure make the pause longer
    assert breaker.admits(PAUSE_S_MIN)


def test_every_trial_that_fails_doubles_the_pause_up_to_a_limit() -> None:
    breaker, now, pause = opened(), 0.0, PAUSE_S_MIN
    for _ in range(12):
        assert not breaker.admits(now + pause * 0.99)
        now += pause
        assert breaker.admits(now)
        breaker.asked(now)
        breaker.failed(now, "still")
        pause = min(PAUSE_S_MAX, 2 * pause)
    assert pause == PAUSE_S_MAX


def test_a_trial_that_is_never_answered_is_not_the_last() -> None:
    breaker = opened()
    breaker.asked(PAUSE_S_MIN)
    assert not breaker.admits(PAUSE_S_MIN + TRIAL_S * 0.99)
    assert breaker.admits(PAUSE_S_MIN + TRIAL_S)


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60))
def test_a_replica_that_is_well_again_is_asked_again(before: list[tuple[float, bool]]) -> None:
    """Whatever came before: with nothing but successes from now on it closes."""
    breaker, now = Breaker(), 0.0
    for pause, is_well in before:
        now += pause
        if breaker.admits(now):
            breaker.asked(now)
            breaker.succeeded(now) if is_well else breaker.failed(now, "not well")
    now += PAUSE_S_MAX
    assert breaker.admits(now)
    breaker.asked(now)
    breaker.succeeded(now)
    assert breaker.state(now) == "closed"


class Trials(RuleBasedStateMachine):
    """Never two trials at once, unless one of them has gone without an answer for long."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now = Breaker(), 0.0
        self.trials: list[float] = []

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_read_wants_to_go(self) -> None:
        if self.breaker.admits(self.now):
            if self.breaker.state(self.now) == "half-open":
                assert all(self.now - at >= TRIAL_S for at in self.trials)
                self.trials.append(self.now)
            self.breaker.asked(self.now)

    @precondition(lambda self: self.breaker.state(self.now) == "closed")
    @rule()
    def a_failure(self) -> None:
        self.breaker.failed(self.now, "no")

    @precondition(lambda self: self.trials)
    @rule(is_well=st.booleans())
    def the_trial_ends(self, is_well: bool) -> None:
        if is_well:
            self.breaker.succeeded(self.now)
        else:
            self.breaker.failed(self.now, "no")
        self.trials.clear()

    @invariant()
    def it_has_one_of_three_states(self) -> None:
        assert self.breaker.state(self.now) in ("closed", "open", "half-open")


TestTrials = Trials.TestCase
