"""Frames of video latents: replaced in place of others, and the first ones brought to those that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from comfykernel_sdk.errors import BadInput


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


def counted(frames: int, start: int = 0, *, batch: int = 1, side: int = 2) -> dict[str, Tensor]:
    """A latent whose values are the numbers of its frames."""
    numbers = torch.arange(start, start + frames, dtype=torch.float32).view(1, 1, -1, 1, 1)
    return {"samples": numbers.expand(batch, 3, frames, side, side).clone()}


def numbers(latent: dict[str, Tensor]) -> list[float]:
    samples = latent["samples"]
    assert torch.equal(samples, samples[:1, :1, :, :1, :1].expand_as(samples))
    return [float(value) for value in samples[0, 0, :, 0, 0]]


@pytest.mark.parametrize(
    ("index", "expected"),
    [(0, [10, 11, 2, 3, 4]), (3, [0, 1, 2, 10, 11]), (-2, [0, 1, 2, 10, 11]), (-5, [10, 11, 2, 3, 4])],
)
def test_frames_are_replaced_from_an_index_on(run: Any, index: int, expected: list[int]) -> None:
    destination = counted(5)
    replaced = run.node("ReplaceVideoLatentFrames", destination=destination, source=counted(2, 10), index=index)
    assert numbers(replaced) == expected
    assert numbers(destination) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("index", [4, 5, -1, -6])
def test_frames_that_do_not_fit_in_leave_the_latent_as_it_was(
    run: Any, index: int, caplog: pytest.LogCaptureFixture
) -> None:
    replaced = run.node("ReplaceVideoLatentFrames", destination=counted(5), source=counted(2, 10), index=index)
    assert numbers(replaced) == [0, 1, 2, 3, 4]
    assert "do not fit" in caplog.text


def test_without_a_source_nothing_is_replaced_and_other_members_stay(run: Any) -> None:
    destination = {**counted(2), "batch_index": [7]}
    assert run.node("ReplaceVideoLatentFrames", destination=destination, index=0) == destination
    replaced = run.node("ReplaceVideoLatentFrames", destination=destination, source=counted(1, 9), index=1)
    assert (numbers(replaced), replaced["batch_index"]) == ([0, 9], [7])


def test_frames_of_another_size_and_batch_are_fitted(run: Any) -> None:
    replaced = run.node(
        "ReplaceVideoLatentFrames", destination=counted(3, batch=2), source=counted(1, 9, side=4), index=0
    )  # fmt: skip
    assert replaced["samples"].shape == (2, 3, 3, 2, 2)
    assert numbers(replaced) == [9, 1, 2]


def test_latents_without_frames_or_of_other_channels_are_refused(run: Any) -> None:
    picture = {"samples": torch.zeros(1, 3, 2, 2)}
    with pytest.raises(BadInput, match="has no frames"):
        run.node("ReplaceVideoLatentFrames", destination=picture, source=counted(1), index=0)
    with pytest.raises(BadInput, match="shapes"):
        run.node(
            "ReplaceVideoLatentFrames", destination=counted(1), source={"samples": torch.zeros(1, 4, 1, 2, 2)}, index=0
        )  # fmt: skip
    with pytest.raises(BadInput, match="has no frames"):
        run.node("NormalizeVideoLatentStart", latent=picture, start_frame_count=4, reference_frame_count=5)


def test_the_first_frames_get_the_moments_of_those_that_follow(run: Any, normal_tensor: Any) -> None:
    samples = normal_tensor("frames", (1, 4, 8, 16, 16))
    samples[:, :, :2] = samples[:, :, :2] * 1.2 + 0.1
    latent = {"samples": samples.clone()}
    changed = run.node("NormalizeVideoLatentStart", latent=latent, start_frame_count=2, reference_frame_count=3)
    reference, start = samples[:, :, 2:5], changed["samples"][:, :, :2]
    for frame in start.unbind(2):
        assert float(frame.mean()) == pytest.approx(float(reference.mean()), abs=1e-5)
        assert float(frame.std()) == pytest.approx(float(reference.std()), abs=1e-5)
    assert torch.equal(changed["samples"][:, :, 2:], samples[:, :, 2:])
    assert torch.equal(latent["samples"], samples)


def test_moments_change_within_limits_only(run: Any, normal_tensor: Any) -> None:
    samples = normal_tensor("far", (1, 4, 4, 16, 16))
    samples[:, :, :1] = samples[:, :, :1] * 3.0 + 5.0
    changed = run.node(
        "NormalizeVideoLatentStart", latent={"samples": samples}, start_frame_count=1, reference_frame_count=5
    )["samples"]  # fmt: skip
    first, before = changed[:, :, 0], samples[:, :, 0]
    assert float(before.mean() - first.mean()) == pytest.approx(0.3, abs=1e-4)
    assert float(before.std() - first.std()) == pytest.approx(0.35, abs=1e-4)


def test_one_frame_stays_and_more_start_frames_than_there_are_leave_one(run: Any, normal_tensor: Any) -> None:
    counts = {"start_frame_count": 10, "reference_frame_count": 5}
    one = {"samples": normal_tensor("one", (1, 4, 1, 4, 4))}
    assert torch.equal(run.node("NormalizeVideoLatentStart", latent=one, **counts)["samples"], one["samples"])
    three = {"samples": normal_tensor("three", (1, 4, 3, 4, 4))}
    changed = run.node("NormalizeVideoLatentStart", latent=three, **counts)["samples"]
    assert torch.isfinite(changed).all()
    assert torch.equal(changed[:, :, 2], three["samples"][:, :, 2])
    flat = {"samples": torch.zeros(1, 4, 3, 4, 4)}
    assert torch.equal(run.node("NormalizeVideoLatentStart", latent=flat, **counts)["samples"], flat["samples"])
