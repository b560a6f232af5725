"""Images resized in many ways, boxes, crops, colours, histograms, painting and saving in deep formats."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from comfykernel_core_nodes.nodes.image import boxes, colour_spaces, colour_transfer, exr, histograms, resize_modes
from comfykernel_core_nodes.nodes.image.encoding import encode_apng
from comfykernel_core_nodes.nodes.image.export import with_metadata
from comfykernel_core_nodes.nodes.image.png16 import encode_png16
from comfykernel_sdk.errors import BadInput

av = pytest.importorskip("av")


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


@pytest.mark.parametrize(
    ("way", "values", "want"),
    [
        ("scale dimensions", {"width": 0, "height": 48, "crop": "center"}, (48, 40)),
        ("scale dimensions", {"width": 7, "height": 9, "crop": "disabled"}, (9, 7)),
        ("scale by multiplier", {"multiplier": 0.01}, (1, 1)),
        ("scale longer dimension", {"longer_size": 12}, (12, 10)),
        ("scale shorter dimension", {"shorter_size": 10}, (12, 10)),
        ("scale width", {"width": 10}, (12, 10)),
        ("scale height", {"height": 0}, (24, 20)),
        ("scale total pixels", {"megapixels": 0.01}, (112, 93)),
        ("match size", {"match": torch.zeros(1, 5, 6), "crop": "center"}, (5, 6)),
        ("scale to multiple", {"multiple": 16}, (16, 16)),
        ("scale to multiple", {"multiple": 64}, (64, 64)),
    ],
)
def test_ways_to_resize(run: Any, way: str, values: dict[str, object], want: tuple[int, int]) -> None:
    dotted = {f"resize_type.{name}": value for name, value in values.items()}
    for pixels in (torch.rand(2, 24, 20, 3), torch.rand(1, 24, 20)):
        resized = run.node("ResizeImageMaskNode", input=pixels, resize_type=way, scale_method="area", **dotted)
        assert tuple(resized.shape[1:3]) == want
        assert resized.ndim == pixels.ndim


@pytest.mark.parametrize("aspect", resize_modes.ASPECTS)
def test_resolution_has_its_proportion_and_size(aspect: str) -> None:
    width, height = resize_modes.resolution_selector(aspect, 1.0, multiple=16)
    across, down = resize_modes.ASPECTS[aspect]
    assert width % 16 == height % 16 == 0
    assert width / height == pytest.approx(float(Fraction(across, down)), rel=0.03)
    assert width * height == pytest.approx(1024 * 1024, rel=0.03)


def test_compared_images_are_shown_by_side(run: Any) -> None:
    ui = run.node("ImageCompare", image_a=torch.zeros(2, 3, 4, 3)).ui
    assert [image["type"] for image in ui["a_images"]] == ["temp", "temp"]
    assert ui["b_images"] == []


def test_crop_along_a_box_stays_inside(run: Any) -> None:
    image = torch.rand(1, 8, 10, 3)
    box = boxes.primitive_bounding_box(6, 2, 99, 3)
    assert torch.equal(run.node("ImageCropV2", image=image, crop_region=box), image[:, 2:5, 6:])
    assert tuple(run.node("ImageCropV2", image=image, crop_region=[{**box, "x": 99, "y": 99}]).shape[1:3]) == (1, 1)
    for wrong in ({}, [], {"x": 1}, "box"):
        with pytest.raises(BadInput) as error:
            run.node("ImageCropV2", image=image, crop_region=wrong)
        assert error.value.type == "invalid_bounding_box"


def test_boxes_are_drawn_on_each_image_or_on_a_canvas() -> None:
    box = {"x": 2, "y": 2, "width": 20, "height": 10, "label": "cat", "score": 0.9}
    images = torch.zeros(2, 40, 50, 3)
    drawn = boxes.draw_bboxes([[box], []], images)
    assert drawn[0].any()
    assert not drawn[1].any()
    assert tuple(boxes.draw_bboxes([{**box, "x": 900}], None).shape) == (1, 640, 920, 3)
    assert tuple(boxes.draw_bboxes(box, images).shape) == (2, 40, 50, 3)


def test_boxes_of_the_page_become_elements() -> None:
    metadata = {"type": "text", "text": "HI", "desc": "sign", "palette": ["#fff"]}
    state = [{"x": 100, "y": 50, "width": 100, "height": 50, "metadata": metadata}]
    preview, plain, elements = boxes.create_bounding_boxes(400, 200, state)
    assert tuple(preview.shape) == (1, 200, 400, 3)
    assert plain == [{"x": 100, "y": 50, "width": 100, "height": 50}]
    assert elements == [
        {"type": "text", "bbox": [250, 250, 500, 500], "text": "HI", "desc": "sign", "color_palette": ["#fff"]}
    ]
    again = boxes.create_bounding_boxes(400, 200, [], None, None, json.dumps(elements))
    assert again[1:] == (plain, elements)
    kept = boxes.create_bounding_boxes(400, 200, state, plain, None, plain)
    assert kept[2] == elements
    with pytest.raises(BadInput, match="no JSON"):
        boxes.create_bounding_boxes(400, 200, [], None, None, "{broken")


def test_subject_fills_the_frame(run: Any) -> None:
    image, mask = torch.ones(1, 20, 40, 3), torch.zeros(1, 20, 40)
    mask[0, 5:15, 10:20] = 1.0
    given = {"width": 64, "height": 64, "pad_factor": 2.0, "grow_mask": 0, "background": "#0000ff"}
    cut = run.node("ImageCropToMask", images=image, masks=mask, **given)[0]
    assert tuple(cut.shape) == (64, 64, 3)
    assert cut[32, 32].tolist() == pytest.approx([1, 1, 1], abs=0.01)
    assert cut[2, 2].tolist() == pytest.approx([0, 0, 1], abs=0.01)
    inverted = run.node("ImageCropToMask", images=image, masks=1.0 - mask, **given)[0]
    assert torch.allclose(inverted, cut)
    with pytest.raises(BadInput, match="3 masks for 1 images"):
        run.node("ImageCropToMask", images=image, masks=mask.repeat(3, 1, 1), **given)


def test_lab_and_back() -> None:
    colours = torch.rand(200, 3)
    assert torch.allclose(colour_spaces.from_lab(colour_spaces.to_lab(colours)), colours, atol=1e-5)
    white, red = colour_spaces.to_lab(torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    assert white.tolist() == pytest.approx([100, 0, 0], abs=0.01)
    assert red.tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.01)
    assert torch.allclose(colour_spaces.encoded_light(colour_spaces.linear_light(colours)), colours, atol=1e-6)


@pytest.mark.parametrize("method", colour_transfer.METHODS)
@pytest.mark.parametrize("stats", ["per_frame", "uniform", "target_frame"])
def test_transferred_colours(run: Any, method: str, stats: str) -> None:
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(2, 16, 16, 4, generator=generator) * 0.4
    reference = torch.rand(1, 9, 9, 3, generator=generator) * 0.2 + 0.6
    given = {"image_target": target, "image_ref": reference, "method": method, "source_stats": stats}
    if stats == "target_frame":
        given["source_stats.target_index"] = 99
    changed = run.node("ColorTransfer", **given, strength=1.0)
    assert torch.allclose(changed[..., :3].mean((0, 1, 2)), reference.mean((0, 1, 2)), atol=0.02)
    assert torch.equal(changed[..., 3], target[..., 3])
    assert run.node("ColorTransfer", **given, strength=0.0) is target


def test_histogram_counts_pixels() -> None:
    image = torch.tensor([[0.0, 1.0, 0.5], [0.0, 0.0, 0.5]]).view(1, 1, 2, 3)
    rgb, luminance, red, green, blue = histograms.image_histogram(image)
    assert (red[0], green[0], green[255], blue[128]) == (2, 1, 1, 2)
    assert all(sum(each) == 2 and len(each) == 256 for each in (rgb, luminance, red, green, blue))


def test_curves_go_from_left_to_right() -> None:
    curve = {"points": [[0, 0], [0.4, 0.5], [1, 1]], "interpolation": "linear"}
    assert histograms.curve_editor(curve).values == (curve,)
    for wrong in (None, {}, {"points": []}, {"points": [[1, 0], [0, 1]]}, {"points": [[0, "a"]]}):
        with pytest.raises(BadInput, match="is no curve"):
            histograms.curve_editor(wrong)


def test_painting_over_an_image_and_over_a_colour(run: Any) -> None:
    painting = Image.new("RGBA", (8, 4), (255, 0, 0, 0))
    painting.putpixel((1, 1), (255, 0, 0, 255))
    painting.save(run.base / "input" / "p.png")
    given = {"width": 64, "height": 64, "bg_color": "#00ff00"}
    image, mask = run.node("Painter", mask="p.png [input]", image=torch.zeros(2, 4, 8, 3), **given)
    assert image[1, 1, 1].tolist() == [1, 0, 0]
    assert (float(mask.sum()), float(image.sum())) == (2.0, 2.0)
    plain, nothing = run.node("Painter", mask="", **given)
    assert plain[0, 5, 5].tolist() == [0, 1, 0]
    assert not nothing.any()


def decoded(data: bytes, format: str) -> np.ndarray[Any, Any]:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).reformat(format=format).to_ndarray()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_of_png(channels: int) -> None:
    image = torch.rand(33, 20, channels)
    data = encode_png16(image, {"prompt": {"ä": 1}}, compress_level=4)
    with Image.open(io.BytesIO(data)) as picture:
        picture.verify()
        assert picture.size == (20, 33)
    got = decoded(data, {1: "gray16le", 3: "rgb48le", 4: "rgba64le"}[channels]).reshape(33, 20, channels)
    assert np.array_equal(got, np.rint(image.double().numpy() * 65535).astype(np.uint16))


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
def test_open_exr(half: bool, channels: int) -> None:
    image = torch.rand(37, 21, channels) * (1.0 if half else 4.0)
    data = exr.encode_exr(image, {"prompt": {"a": 1}, "x" * 40: 2}, half=half, chromaticities=exr.REC_709)
    got = decoded(data, "gbrpf32le" if channels == 3 else "gbrapf32le").reshape(37, 21, channels)
    assert np.allclose(got, image.numpy(), atol=2e-3 if half else 1e-6)
    with pytest.raises(BadInput, match="can't be stored"):
        exr.encode_exr(image, {"channels": 1}, half=half, chromaticities=exr.REC_709)


def test_saved_formats(run: Any) -> None:
    images = torch.rand(2, 66, 70, 3)

    def saved(**given: object) -> dict[str, Any]:
        result = run.node("SaveImageAdvanced", images=images, filename_prefix="a", prompt={"p": 1}, **given)
        assert result.values[0] is images
        return result.ui

    png = saved(format="png", **{"format.bit_depth": "8-bit", "format.input_color_space": "sRGB"})
    assert [image["filename"] for image in png["images"]] == ["a_00001_.png", "a_00002_.png"]
    avif = {"format.bit_depth": "auto", "format.input_color_space": "sRGB", "format.crf": 18}
    moving = {"format.save_mode": "animated", "format.save_mode.fps": 6.0, "format.save_mode.loop_count": 0}
    shown = saved(format="avif", **avif, **moving)
    assert shown["animated"] == [True]
    with Image.open(run.base / "output" / shown["images"][0]["filename"]) as picture:
        assert (picture.n_frames, picture.getexif()[0x0110]) == (2, 'prompt:{"p": 1}')
    wide = saved(
        format="avif", **{**avif, "format.input_color_space": "HDR PQ"}, **{"format.save_mode": "still images"}
    )
    with av.open(str(run.base / "output" / wide["images"][1]["filename"])) as container:
        frame = next(container.decode(video=0))
        assert (frame.format.name, frame.color_trc, frame.color_primaries) == ("yuv420p10le", 16, 9)


def test_channels_that_a_format_cannot_hold(run: Any) -> None:
    given = {"format.bit_depth": "auto", "format.input_color_space": "sRGB", "format.crf": 18}
    with pytest.raises(BadInput, match="4 channels"):
        run.node(
            "SaveImageAdvanced", images=torch.zeros(1, 4, 4, 4), filename_prefix="a", format="avif", **given,
            **{"format.save_mode": "still images"},
        )  # fmt: skip
    assert list((run.base / "output").iterdir()) == []


def test_animated_png_holds_all_frames_and_texts() -> None:
    data = encode_apng(torch.rand(3, 4, 6, 3), {"prompt": {"a": 1}}, fps=4.0, compress_level=9)
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.n_frames, picture.info["duration"]) == (3, 250)
    assert data.index(b"IDAT") < data.index(b'comfprompt\0{"a": 1}')


def test_drawings_carry_the_prompt(run: Any) -> None:
    class Drawing:
        data = (io.BytesIO(b'<?xml version="1.0"?><svg a=">" b=\'>\'><g/></svg>'),)

    ui = run.node("SaveSVGNode", svg=Drawing(), filename_prefix="svg/a", prompt={"t": "]]>"}).ui
    assert ui["images"] == [{"filename": "a_00001_.svg", "subfolder": "svg", "type": "output"}]
    text = (run.base / "output" / "svg" / "a_00001_.svg").read_text()
    assert text.endswith("<g/></svg>")
    assert json.loads(text.split("CDATA[")[1].split("]]></metadata>")[0]) == {"prompt": {"t": "]]>"}}
    assert with_metadata("no drawing", {"a": 1}) == "no drawing"
    with pytest.raises(BadInput, match="is no drawing"):
        run.node("SaveSVGNode", svg=3, filename_prefix="a")


def test_image_of_the_output_folder_and_of_the_camera(run: Any) -> None:
    Image.new("RGB", (4, 3), "red").save(run.base / "output" / "a.png")
    image, _ = run.node("LoadImageOutput", image="a.png [output]")
    assert tuple(image.shape) == (1, 3, 4, 3)
    taken = run.node("WebcamCapture", image="a.png [output]", width=0, height=0, capture_on_queue=True)
    assert torch.equal(taken, image)
