"""Images for tests of node packs: made, compared, stored."""

from __future__ import annotations

import pytest
import torch

from comfykernel_sdk.testing import (
    MemoryStorage,
    add_input_image,
    assert_images_close,
    gradient_image,
    noise_image,
    shown_images,
    solid_image,
)


def test_images_have_the_form_of_images() -> None:
    assert solid_image(1, 0.5, 0, height=3, width=5, batch=2).shape == (2, 3, 5, 3)
    assert solid_image(1, 0.5, 0)[0, 7, 7].tolist() == [1, 0.5, 0]
    assert solid_image(0.25, 0.5, 0.75, 1.0).shape == (1, 8, 8, 4)
    ramp = gradient_image(height=4, width=6, batch=2)
    assert ramp.shape == (2, 4, 6, 3)
    assert ramp[1, 3, 0].tolist() == [0, 1, 1]
    assert len({tuple(pixel) for pixel in ramp.reshape(-1, 3).tolist()}) == 2 * 4 * 6
    assert torch.equal(noise_image(3), noise_image(3))
    assert not torch.equal(noise_image(3), noise_image(4))


def test_a_difference_is_told_with_its_place() -> None:
    image = gradient_image()
    assert_images_close(image + 0.003, image)
    wrong = image.clone()
    wrong[0, 2, 3, 1] += 0.5
    with pytest.raises(AssertionError, match=r"0\.4% of the pixels .* image 0 at x=3 y=2: .* instead of"):
        assert_images_close(wrong, image)
    assert_images_close(wrong, image, tolerance=0.51)
    with pytest.raises(AssertionError, match=r"shapes differ: \[1, 16, 16, 3\] and \[2, 16, 16, 3\]"):
        assert_images_close(image, gradient_image(batch=2))
    with pytest.raises(AssertionError, match="no image but list"):
        assert_images_close([image], image)
    with pytest.raises(AssertionError, match="by inf"):
        assert_images_close(image * float("nan"), image)


def test_input_and_shown_images_go_through_a_storage() -> None:
    storage = MemoryStorage()
    assert add_input_image(storage, "a.png", gradient_image()) == "a.png"
    ui = {"images": [{"filename": "a.png", "subfolder": "", "type": "input"}]}
    (back,) = shown_images(ui, storage)
    assert_images_close(back, gradient_image())
    assert shown_images(None, storage) == []
