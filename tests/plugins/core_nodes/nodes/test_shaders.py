"""Fragment shaders over images: orientation, uniforms, outputs, passes, sizes, and what is said of bad ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.image.curves import curve_table
from comfykernel_core_nodes.nodes.image.shader_programs import read_shader
from comfykernel_core_nodes.nodes.image.shaders import UNCHANGED
from comfykernel_sdk.errors import BadInput

# A user may be without the extra; where the tests' own dependencies are installed, it is there.
pytest.importorskip("moderngl")

HEAD = """#version 300 es
precision highp float;
uniform sampler2D u_image0;
uniform vec2 u_resolution;
in vec2 v_texCoord;
"""
ONE = HEAD + "out vec4 colour;\n"


def body(text: str, head: str = ONE) -> str:
    return f"{head}void main() {{ {text} }}\n"


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


@pytest.fixture
def shaded(run: Any) -> Callable[..., tuple[Tensor, ...]]:
    """The four outputs of a shader over images in order."""

    def outputs(source: str, *images: Tensor, size: dict[str, Any] | None = None, **uniforms: Any) -> Any:
        groups: dict[str, dict[str, object]] = {"floats": {}, "ints": {}, "bools": {}, "curves": {}}
        kinds = {"f": "floats", "i": "ints", "b": "bools", "c": "curves"}
        for name, value in uniforms.items():
            groups[kinds[name.removeprefix("u_")[0]]][name] = value
        return run.node(
            "GLSLShader", fragment_shader=source, size_mode=size or {"size_mode": "from_input"},
            images={f"image{number}": image for number, image in enumerate(images)}, **groups,
        )  # fmt: skip

    return outputs


def picture(height: int = 5, width: int = 7, batch: int = 1, channels: int = 3) -> Tensor:
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [3, 4])
def test_the_default_shader_gives_images_back(shaded: Any, channels: int) -> None:
    image = picture(batch=3, channels=channels)
    first, *others = shaded(UNCHANGED, image)
    torch.testing.assert_close(first, image)
    assert all(torch.equal(other, torch.zeros(3, 5, 7, 3)) for other in others)


def test_grey_images_have_the_same_value_in_every_channel(shaded: Any) -> None:
    image = picture(channels=1)
    torch.testing.assert_close(shaded(UNCHANGED, image)[0], image.expand(1, 5, 7, 3))


def test_values_beyond_one_stay_and_what_is_no_number_is_black(shaded: Any) -> None:
    image = torch.full((1, 2, 2, 3), 0.5)
    assert torch.equal(
        shaded(body("colour = vec4(texture(u_image0, v_texCoord).rgb * 8.0, 1.0);"), image)[0], image * 8
    )
    broken = body("float zero = texture(u_image0, v_texCoord).r - 0.5; colour = vec4(vec3(zero / zero), 1.0);")
    assert torch.equal(shaded(broken, image)[0], torch.zeros(1, 2, 2, 3))


def test_coordinates_start_at_the_bottom_left(shaded: Any) -> None:
    found = shaded(body("colour = vec4(v_texCoord, gl_FragCoord.y / u_resolution.y, 1.0);"), picture(4, 8))[0]
    x, y = (torch.arange(8) + 0.5) / 8, 1 - (torch.arange(4) + 0.5) / 4
    torch.testing.assert_close(found[0, ..., 0], x.expand(4, 8))
    torch.testing.assert_close(found[0, ..., 1], y[:, None].expand(4, 8))
    torch.testing.assert_close(found[0, ..., 2], y[:, None].expand(4, 8))


def test_textures_are_smooth_and_end_at_their_edges(shaded: Any) -> None:
    image = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    wide = shaded(UNCHANGED, image, size={"size_mode": "custom", "width": 8, "height": 2})[0]
    assert wide.shape == (1, 2, 8, 3)
    torch.testing.assert_close(wide[0, 0, :, 0], torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]))


def test_uniforms_by_kind_and_those_that_are_not_linked(shaded: Any) -> None:
    source = body(
        "colour = vec4(u_float0, float(u_int3), u_bool1 ? 0.25 : 0.75, 1.0) + vec4(u_float7);",
        ONE + "uniform float u_float0; uniform float u_float7; uniform int u_int3; uniform bool u_bool1;\n",
    )
    found = shaded(source, picture(1, 1), u_float0=0.5, u_float1=9.0, u_int3=2, u_bool1=True)[0]
    assert found[0, 0, 0].tolist() == [0.5, 2.0, 0.25]


def test_second_images_are_sampled_in_turn_and_missing_ones_are_black(shaded: Any) -> None:
    head = ONE + "uniform sampler2D u_image1; uniform sampler2D u_image2;\n"
    text = "colour = vec4(texture(u_image0, v_texCoord).r, texture(u_image1, v_texCoord).g, "
    source = body(text + "texture(u_image2, v_texCoord).b, 1.0);", head)
    first, second = picture(batch=3), picture(2, 2, batch=2) * 0.0 + torch.tensor([0.2, 0.4]).view(2, 1, 1, 1)
    found = shaded(source, first, second)[0]
    torch.testing.assert_close(found[..., 0], first[..., 0])
    torch.testing.assert_close(found[:, 0, 0, 1], torch.tensor([0.2, 0.4, 0.2]))
    assert float(found[..., 2].max()) == 0.0


def test_several_outputs_and_an_alpha_channel_where_there_is_something_to_see_through(shaded: Any) -> None:
    head = HEAD + "layout(location = 0) out vec4 a;\nlayout(location=2) out highp vec4 c;\n"
    source = body("a = vec4(1.0, 0.5, 0.25, 1.0); c = vec4(0.5);", head + "void twice(out vec4 x) { x = vec4(2.0); }\n")
    first, second, third, fourth = shaded(source, picture(2, 3))
    assert first[0, 0, 0].tolist() == [1.0, 0.5, 0.25]
    assert third[0, 0, 0].tolist() == [0.5] * 4
    assert torch.equal(second, torch.zeros(1, 2, 3, 3))
    assert torch.equal(fourth, second)


@pytest.mark.parametrize("passes", [1, 2, 3, 4])
def test_each_pass_sees_what_the_one_before_made(shaded: Any, passes: int) -> None:
    head = HEAD.replace("es\n", f"es\n#pragma passes {passes}\n") + "uniform int u_pass;\n"
    head += "layout(location = 0) out vec4 a;\nlayout(location = 1) out vec4 b;\n"
    text = "a = vec4(texture(u_image0, v_texCoord).rgb * 0.5 + float(u_pass), 1.0); b = vec4(vec3(float(u_pass)), 1.0);"
    image = picture(batch=2)
    expected = image
    for number in range(passes):
        expected = expected * 0.5 + number
    first, second, *_ = shaded(body(text, head), image)
    torch.testing.assert_close(first, expected)
    assert torch.equal(second, torch.full((2, 5, 7, 3), float(passes - 1)))


def test_a_blur_of_two_passes_is_that_of_the_rows_and_then_of_the_columns(shaded: Any) -> None:
    head = ONE.replace("es\n", "es\n#pragma passes 2\n") + "uniform int u_pass;\n"
    text = """
    vec2 way = (u_pass == 0 ? vec2(1.0, 0.0) : vec2(0.0, 1.0)) / vec2(textureSize(u_image0, 0));
    colour = vec4(0.0);
    for (int i = -1; i <= 1; i++) colour += texture(u_image0, v_texCoord + way * float(i)) / 3.0;
    """
    image = picture(6, 9)
    padded = torch.nn.functional.pad(image.movedim(-1, 1), (1, 1, 1, 1), mode="replicate")
    expected = torch.nn.functional.avg_pool2d(padded, 3, stride=1).movedim(1, -1)
    found = shaded(body(text, head), image)[0]
    torch.testing.assert_close(found[..., :3], expected, rtol=1e-4, atol=1e-4)


def test_curves_are_textures_of_one_row_and_straight_where_none_is_linked(shaded: Any) -> None:
    head = ONE + "uniform sampler2D u_curve0; uniform sampler2D u_curve1;\n"
    text = "float x = v_texCoord.x; colour = vec4(texture(u_curve0, vec2(x, 0.5)).r, texture(u_curve1, vec2(x, 0.5)).r,"
    curve = {"points": [[0, 1], [1, 0]], "interpolation": "linear"}
    found = shaded(body(text + " x, 1.0);", head), picture(1, 16), u_curve0=curve)[0][0, 0]
    torch.testing.assert_close(found[:, 0], 1 - found[:, 2], rtol=0, atol=3e-3)
    torch.testing.assert_close(found[:, 1], found[:, 2], rtol=0, atol=3e-3)


def test_cubic_curves_pass_through_their_points_and_never_overshoot() -> None:
    points = [[0.0, 0.0], [0.2, 0.1], [0.4, 0.9], [0.6, 0.9], [1.0, 1.0]]
    table = curve_table({"points": points, "interpolation": "monotone_cubic"}, size=101)
    assert [round(float(table[round(x * 100)]), 5) for x, _ in points] == [y for _, y in points]
    assert all(after >= before - 1e-6 for before, after in pairwise(table))
    straight = curve_table({"points": [[0.25, 0.2], [0.75, 0.8]], "interpolation": "monotone_cubic"}, size=5)
    assert straight.tolist() == pytest.approx([0.2, 0.2, 0.5, 0.8, 0.8])
    assert curve_table([[0.5, 0.3]], size=3).tolist() == pytest.approx([0.3] * 3)


@pytest.mark.parametrize(
    "curve", [None, {}, {"points": []}, {"points": [[0, 0], [0, 1]]}, {"points": [[0, float("nan")]]}]
)
def test_what_is_no_curve_is_said(curve: object) -> None:
    with pytest.raises(BadInput, match="is no curve"):
        curve_table(curve)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "starts with ''"),
        ("void main() {}", r"starts with 'void main\(\) \{\}'"),
        (UNCHANGED.replace("300 es", "450"), "starts with '#version 450'"),
        (body("colour = nothing;"), "does not compile.*nothing"),
        (body("colour = vec4(1);").replace("void", "viod"), "does not compile"),
        (body("colour = vec4(0.0);", ONE + "layout(location = 7) out vec4 far;\n"), "writes to the output 7"),
        (body("colour = vec4(float(u_float0));", ONE + "uniform sampler2D u_float0;\n"), "does not compile"),
        (body("colour = vec4(u_float0, 0.0, 0.0);", ONE + "uniform vec2 u_float0;\n"), "declares u_float0 with a type"),
    ],
)
def test_bad_shaders_are_told_with_what_the_compiler_says(shaded: Any, source: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        shaded(source, picture(), u_float0=1.0)


def test_text_around_the_shader_and_comments_do_not_count() -> None:
    shader = read_shader("\n  " + UNCHANGED.replace("es\n", "es\n// #pragma passes 9\n/* out vec4 b; */\n"))
    assert (shader.passes, shader.outputs) == (1, frozenset({0}))
    assert read_shader(UNCHANGED.replace("es\n", "es\n #pragma  passes 900\n")).passes == 32
    assert read_shader(body("", HEAD + "out vec4 all[3];\n")).outputs == {0, 1, 2}


def test_whole_numbers_have_32_bits(shaded: Any) -> None:
    text = "uint bits = uint(gl_FragCoord.x) * 747796405u + 2891336453u;"
    text += "colour = vec4(float(bits >> 8u) / 16777216.0, 0.0, 0.0, 1.0);"
    found = shaded(body(text), picture(1, 16))[0][0, 0, :, 0]
    expected = [((x * 747796405 + 2891336453) % 2**32 >> 8) / 2**24 for x in range(16)]
    assert found.tolist() == expected


def test_sides_that_no_texture_can_have_are_refused(shaded: Any) -> None:
    with pytest.raises(BadInput, match="A side of 100000 pixels"):
        shaded(UNCHANGED, torch.zeros(1, 1, 100_000, 3))


def test_what_is_missing_is_named_with_how_to_install_it(shaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(**_options: object) -> None:
        raise Exception("libEGL.so.1 not loaded")

    with monkeypatch.context() as changed:
        changed.setattr("moderngl.create_context", no_driver)
        with pytest.raises(BadInput, match="no OpenGL here: libEGL") as caught:
            shaded(UNCHANGED, picture())
        assert "libegl1" in (caught.value.hint or "")
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(BadInput, match="need the package moderngl") as caught:
        shaded(UNCHANGED, picture())
    assert "[shaders]" in (caught.value.hint or "")
