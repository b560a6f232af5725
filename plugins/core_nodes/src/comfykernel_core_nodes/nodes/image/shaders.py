"""The node that runs a fragment shader over images."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias, TypedDict

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.curves import curve_table
from comfykernel_core_nodes.nodes.image.shader_programs import MOST_OUTPUTS, ShaderInputs, read_shader, render
from comfykernel_core_nodes.nodes.sockets import Side
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Growing, Image, Int, Out, Socket, Text, Toggle

shader_node = extra_node("nodes_glsl")

MOST_IMAGES: Final = 5
MOST_NUMBERS: Final = 20
MOST_TOGGLES: Final = 10
MOST_CURVES: Final = 4

UNCHANGED: Final = """#version 300 es
precision highp float;

uniform sampler2D u_image0;
uniform vec2 u_resolution;

in vec2 v_texCoord;
layout(location = 0) out vec4 fragColor0;

void main() {
    fragColor0 = texture(u_image0, v_texCoord);
}
"""
"""A shader that gives its first image back."""

STRAIGHT: Final = [[0.0, 0.0], [1.0, 1.0]]


class FromInput(TypedDict):
    """The size of the first image."""

    size_mode: Literal["from_input"]


class Custom(TypedDict):
    """A width and a height in pixels."""

    size_mode: Literal["custom"]
    width: Side
    height: Side


Size: TypeAlias = FromInput | Custom


@shader_node("GLSLShader", category="image/shader", display_name="GLSL Shader", experimental=True)
def glsl_shader(
    context: NodeContext,
    fragment_shader: Annotated[str, Text(default=UNCHANGED, multiline=True)],
    size_mode: Annotated[Size, Choice(tooltip="Where the size of the outputs comes from.")],
    images: Annotated[dict[str, Image], Growing("image", min=1, max=MOST_IMAGES)],
    floats: Annotated[dict[str, Annotated[float, Float(default=0.0)]], Growing("u_float", min=0, max=MOST_NUMBERS)],
    ints: Annotated[dict[str, Annotated[int, Int(default=0)]], Growing("u_int", min=0, max=MOST_NUMBERS)],
    bools: Annotated[dict[str, Annotated[bool, Toggle(default=False)]], Growing("u_bool", min=0, max=MOST_TOGGLES)],
    curves: Annotated[dict[str, Annotated[object, Socket("CURVE")]], Growing("u_curve", min=0, max=MOST_CURVES)],
) -> tuple[
    Annotated[Image, Out("IMAGE0")],
    Annotated[Image, Out("IMAGE1")],
    Annotated[Image, Out("IMAGE2")],
    Annotated[Image, Out("IMAGE3")],
]:
    """Run a fragment shader over images; each output is what it writes to the location of that number.

    An image has three channels where all of it is opaque, else four. Outputs that the shader does not write to are
    black. Every image of a batch runs on its own; shorter batches start again.

    Args:
        fragment_shader: GLSL ES 3.00, as in WebGL 2. It may declare what is linked: u_image0 to u_image4, u_float0 to
            u_float19, u_int0 to u_int19, u_bool0 to u_bool9, u_curve0 to u_curve3, and u_resolution, u_pass.
        images: what it samples, from v_texCoord (0, 0) at the bottom left to (1, 1).
        floats: numbers that it reads.
        ints: whole numbers that it reads.
        bools: truth values that it reads.
        curves: curves of 0 to 1 that it samples, as textures of one row.

    Raises:
        BadInput: the shader does not compile, or there is no OpenGL on this machine.
    """
    given = {name: image for name, image in images.items() if image is not None}
    if not given:
        raise BadInput("A shader needs an image.", type="missing_image", hint="Link one to image0.")
    shader = read_shader(fragment_shader)
    first = next(iter(given.values()))
    width, height = (
        (size_mode["width"], size_mode["height"])
        if size_mode["size_mode"] == "custom"
        else (first.shape[2], first.shape[1])
    )
    inputs = ShaderInputs(
        _all_images(given), _numbers(floats, ints, bools), {f"u_curve{i}": curve_table(STRAIGHT) for i in range(4)}
        | {name: curve_table(curve) for name, curve in curves.items() if curve is not None},
    )  # fmt: skip
    frames, rendered = max(len(image) for image in given.values()), list[list[Tensor]]()
    for number, frame in enumerate(render(shader, inputs, width, height, frames), 1):
        rendered.append(frame)
        context.progress(number, frames)
    written = [_image(torch.stack(output)) for output in zip(*rendered, strict=True)]
    black = torch.zeros(frames, height, width, 3)
    outputs = [written[i] if i in (shader.outputs or {0}) else black for i in range(MOST_OUTPUTS)]
    return outputs[0], outputs[1], outputs[2], outputs[3]


def _all_images(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Images by the names that shaders have for them; a black pixel stands for those that are not linked."""
    black = torch.zeros(1, 1, 1, 3)
    return {f"u_image{number}": given.get(f"image{number}", black) for number in range(MOST_IMAGES)}


def _numbers(floats: dict[str, float], ints: dict[str, int], bools: dict[str, bool]) -> dict[str, float | int | bool]:
    return {
        **{name: float(value) for name, value in floats.items() if value is not None},
        **{name: int(value) for name, value in ints.items() if value is not None},
        **{name: bool(value) for name, value in bools.items() if value is not None},
    }


def _image(pixels: Tensor) -> Tensor:
    """Pixels [frame, height, width, 4] without their alpha channel where it says nothing."""
    return pixels if bool((pixels[..., 3] < 1.0).any()) else pixels[..., :3].contiguous()
