"""Changes of schedules: parts belong together, nothing is changed in place."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from comfykernel_core_nodes.diffusion import sigma_edits
from comfykernel_core_nodes.diffusion.errors import InvalidSchedule
from comfykernel_core_nodes.diffusion.run_checks import check_sigmas

schedules = (
    st.lists(st.integers(1, 10**5).map(lambda value: value / 1000), min_size=1, max_size=12, unique=True)
    .map(lambda values: torch.tensor([*sorted(values, reverse=True), 0.0]))
)  # fmt: skip


@given(sigmas=schedules, step=st.integers(0, 20))
def test_parts_share_the_level_between_them(sigmas: Tensor, step: int) -> None:
    before, after = sigma_edits.split_at(sigmas, step)
    joined = torch.cat([before, after[1:]]) if len(after) else before
    assert torch.equal(joined, sigmas)


@given(sigmas=schedules, denoise=st.floats(0, 1))
def test_the_second_part_has_a_share_of_the_steps(sigmas: Tensor, denoise: float) -> None:
    before, after = sigma_edits.split_by_denoise(sigmas, denoise)
    assert len(after) - 1 == round((len(sigmas) - 1) * denoise)
    if len(after) > 1:
        assert torch.equal(torch.cat([before, after[1:]]), sigmas)


@given(sigmas=schedules)
def test_a_flipped_schedule_rises_from_almost_zero(sigmas: Tensor) -> None:
    kept = sigmas.clone()
    turned = sigma_edits.flipped(sigmas)
    assert float(turned[0]) == pytest.approx(1e-4)
    assert torch.equal(turned[1:], sigmas.flip(0)[1:])
    assert torch.equal(sigmas, kept)
    check_sigmas(turned)


@given(sigmas=schedules, parts=st.integers(1, 5), spacing=st.sampled_from(sorted(sigma_edits.SPACINGS)))
def test_levels_between_keep_the_old_ones_and_their_order(sigmas: Tensor, parts: int, spacing: str) -> None:
    longer = sigma_edits.with_levels_between(sigmas, parts, spacing=spacing)
    assert len(longer) == parts * (len(sigmas) - 1) + 1
    assert torch.equal(longer[::parts], sigmas)
    assert bool((longer[:-1] >= longer[1:]).all())


def test_only_steps_that_start_between_the_bounds_are_cut() -> None:
    sigmas = torch.tensor([14.0, 8.0, 4.0, 0.0])
    longer = sigma_edits.with_levels_between(sigmas, 2, highest=10.0, lowest=5.0)
    assert longer.tolist() == [14.0, 8.0, 6.0, 4.0, 0.0]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1, 0.5", [1.0, 0.5]),
        ("14.6 3.8;.9\n0", [14.6, 3.8, 0.9, 0.0]),
        ("[1.0, 1e-2, 0]", [1.0, 0.01, 0.0]),
    ],
)
def test_numbers_are_read_out_of_a_text(text: str, numbers: list[float]) -> None:
    torch.testing.assert_close(sigma_edits.read_sigmas(text), torch.tensor(numbers))


def test_a_text_without_numbers_is_refused() -> None:
    with pytest.raises(InvalidSchedule, match="'none'"):
        sigma_edits.read_sigmas("none")


@pytest.mark.parametrize(
    ("sigmas", "told"),
    [
        (torch.tensor([1.0, float("nan"), 0.0]), "Sigma 1 of 3 is nan"),
        (torch.tensor([1.0, -0.5]), "Sigma 1 of 2 is -0.5"),
        (torch.ones(2, 2), r"shape \[2, 2\]"),
    ],
)
def test_levels_that_are_no_levels_are_named(sigmas: Tensor, told: str) -> None:
    with pytest.raises(InvalidSchedule, match=told):
        check_sigmas(sigmas)


def test_an_empty_schedule_has_no_first_level() -> None:
    with pytest.raises(InvalidSchedule, match="empty"):
        sigma_edits.with_first(torch.empty(0), 1.0)
