"""Strengths over a run: order, guarantees, interpolation, ranges."""

from __future__ import annotations

import pytest

from comfykernel_core_nodes.diffusion.keyframes import (
    Keyframe,
    StrengthOverRun,
    evenly_spaced,
    interpolated,
    strength_ranges,
    with_keyframes,
)


def sigma_at(percent: float) -> float:
    return 1e9 if percent <= 0 else 10.0 * (1.0 - percent)


def over(*keyframes: Keyframe, sigmas: tuple[float, ...] = (10.0, 8.0, 6.0, 4.0, 2.0)) -> list[float]:
    strength = StrengthOverRun(tuple(keyframes), sigma_at, sigmas[0])
    return [strength.at(sigma) for sigma in sigmas]


def test_keyframes_act_from_their_start() -> None:
    assert over() == [1.0] * 5
    assert over(Keyframe(0.0, 0.2), Keyframe(0.5, 0.8)) == [0.2, 0.2, 0.2, 0.8, 0.8]


def test_the_first_acts_before_its_start() -> None:
    assert over(Keyframe(0.5, 0.3)) == [0.3] * 5


def test_each_is_guaranteed_a_call() -> None:
    crowded = [Keyframe(0.3, 0.1), Keyframe(0.31, 0.2), Keyframe(0.32, 0.3)]
    assert over(*crowded, sigmas=(10.0, 5.0, 4.0, 3.0)) == [0.1, 0.2, 0.3, 0.3]
    passed_by = [crowded[0], Keyframe(0.31, 0.2, guaranteed=False), crowded[2]]
    assert over(*passed_by, sigmas=(10.0, 5.0, 4.0)) == [0.1, 0.3, 0.3]


def test_keyframes_before_the_run_are_passed_by() -> None:
    assert over(Keyframe(0.0, 0.1), Keyframe(0.1, 0.2), Keyframe(0.2, 0.3), sigmas=(5.0, 4.0)) == [0.3, 0.3]


def test_asking_twice_at_a_level_counts_once() -> None:
    strength = StrengthOverRun((Keyframe(0.0, 0.1), Keyframe(0.2, 0.2)), sigma_at, 10.0)
    assert [strength.at(sigma) for sigma in (10.0, 10.0, 7.0, 7.0)] == [0.1, 0.1, 0.2, 0.2]


def test_order_of_keyframes() -> None:
    keyframes = with_keyframes((Keyframe(0.5, 1.0),), [Keyframe(0.1, 2.0), Keyframe(0.5, 3.0)])
    assert [keyframe.strength for keyframe in keyframes] == [2.0, 1.0, 3.0]


def test_even_spacing() -> None:
    keyframes = evenly_spaced([0.0, 0.5, 1.0], 0.2, 0.8)
    assert [keyframe.start_percent for keyframe in keyframes] == pytest.approx([0.2, 0.5, 0.8])
    assert [keyframe.guaranteed for keyframe in keyframes] == [True, False, False]


def test_interpolations() -> None:
    assert interpolated(1.0, 3.0, 3, "linear") == pytest.approx([1.0, 2.0, 3.0])
    assert interpolated(0.0, 1.0, 3, "ease_in") == pytest.approx([0.0, 0.25, 1.0])
    assert interpolated(0.0, 1.0, 3, "ease_out") == pytest.approx([0.0, 0.75, 1.0])
    assert interpolated(0.0, 4.0, 5, "ease_in_out") == pytest.approx([0.0, 0.585786, 2.0, 3.414214, 4.0])


def test_parts_with_one_strength() -> None:
    keyframes = (Keyframe(0.2, 1.0), Keyframe(0.4, 1.0), Keyframe(0.6, 0.5), Keyframe(0.6, 0.7), Keyframe(1.0, 2.0))
    assert strength_ranges(keyframes) == [(0.2, 0.6, 1.0), (0.6, 1.0, 0.7)]
    assert strength_ranges(()) == []
