"""The wait before a restart doubles, stays in bounds and starts afresh after a sound life."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfykernel_scheduler_local.backoff import LONGEST_S, STABLE_S, Backoff


def test_it_doubles_up_to_the_longest() -> None:
    backoff = Backoff(0.5)
    waits = [backoff.after_death(uptime_s=1) for _ in range(8)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_it_starts_afresh_after_a_job_or_a_long_life() -> None:
    backoff = Backoff(0.5)
    assert [backoff.after_death(uptime_s=1) for _ in range(3)][-1] == 2
    assert backoff.after_death(uptime_s=STABLE_S) == 0.5
    backoff.after_death(uptime_s=1)
    backoff.reset()
    assert backoff.after_death(uptime_s=1) == 0.5


@given(st.floats(0, 100), st.lists(st.floats(0, 1e6), max_size=2000))
def test_it_stays_in_bounds(first: float, uptimes: list[float]) -> None:
    backoff = Backoff(first)
    assert all(0 <= backoff.after_death(uptime_s=uptime) <= LONGEST_S for uptime in uptimes)
