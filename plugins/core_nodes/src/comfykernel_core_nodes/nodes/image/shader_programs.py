"""Fragment shaders over images, without a display: the OpenGL half of the shader node.

Texture coordinates and pixels are counted from the bottom left, as in OpenGL; images from the top.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from comfykernel_sdk.errors import BadInput

if TYPE_CHECKING:
    import moderngl

MOST_OUTPUTS: Final = 4
MOST_PASSES: Final = 32

ES_VERSION: Final = re.compile(r"\A#version\s+300\s+es\b")
PASSES: Final = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+passes[ \t]+(\d+)", re.MULTILINE)
COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
DIRECTIVE: Final = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
FULL_PRECISION: Final = "precision highp int; precision highp sampler2D;"
EXTENSION: Final = re.compile(r"[ \t]*#[ \t]*extension\b")
OUTPUT: Final = re.compile(
    r"(?:\A|[;}])\s*(?:layout\s*\(\s*location\s*=\s*(\d+)\s*\)\s*)?"
    r"(?=out\b)out\s+(?:(?:lowp|mediump|highp)\s+)?\w+\s+\w+\s*(?:\[\s*(\d+)\s*\])?\s*(?=;)"
)

# Without attributes: one triangle that covers everything.
VERTEX_SHADER: Final = """#version 300 es
out vec2 v_texCoord;
void main() {
    v_texCoord = vec2(gl_VertexID == 1 ? 2.0 : 0.0, gl_VertexID == 2 ? 2.0 : 0.0);
    gl_Position = vec4(v_texCoord * 2.0 - 1.0, 0.0, 1.0);
}
"""

Uniform = float | int | bool


@dataclass(frozen=True, slots=True)
class Shader:
    """The source of a fragment shader in GLSL ES 3.00, and what its text says of how it runs."""

    source: str
    passes: int
    outputs: frozenset[int]
    """the locations that it writes to"""


@dataclass(frozen=True, slots=True)
class ShaderInputs:
    """What a shader is given, by the names that it may declare."""

    images: Mapping[str, Tensor]
    """float [frame, height, width, 1, 3 or 4]"""
    numbers: Mapping[str, Uniform] = field(default_factory=dict)
    tables: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """values [size], as textures of one row"""


def read_shader(source: str) -> Shader:
    """A shader of a text.

    Raises:
        BadInput: it is of another version, or writes to more outputs than there are.
    """
    source = source.strip() + "\n"
    if not ES_VERSION.match(source):
        raise BadInput(
            f"The shader starts with {source.splitlines()[0][:60]!r}.", type="invalid_shader",
            hint="Its first line must be: #version 300 es",
        )  # fmt: skip
    plain = COMMENT.sub(" ", source)
    named = PASSES.search(plain)
    passes = min(MOST_PASSES, max(1, int(named[1]))) if named else 1
    outputs: set[int] = set()
    for location, count in OUTPUT.findall(DIRECTIVE.sub(" ", plain)):
        first = int(location or 0)
        outputs.update(range(first, first + int(count or 1)))
    if any(each >= MOST_OUTPUTS for each in outputs):
        raise BadInput(
            f"The shader writes to the output {max(outputs)}.", type="invalid_shader",
            hint=f"Outputs have the locations 0 to {MOST_OUTPUTS - 1}.",
        )  # fmt: skip
    return Shader(source, passes, frozenset(outputs))


def render(shader: Shader, inputs: ShaderInputs, width: int, height: int, frames: int) -> Iterator[list[Tensor]]:
    """Run a shader once for each frame; shorter batches of images start again.

    Gives one image [height, width, 4] for each location up to the last one that the shader writes to; values are as the
    shader wrote them, NaN is 0.

    Raises:
        BadInput: there is no OpenGL, the shader does not compile, or something is too large for it.
    """
    with _opened() as context:
        largest = int(context.info["GL_MAX_TEXTURE_SIZE"])
        sides = (width, height, *(side for image in inputs.images.values() for side in image.shape[1:3]))
        if max(sides) > largest:
            raise BadInput(
                f"A side of {max(sides)} pixels is too long for a shader here.", type="image_too_large",
                hint=f"This machine's OpenGL takes sides of up to {largest} pixels.",
            )  # fmt: skip
        yield from _Run(context, shader, inputs, (width, height)).frames(frames)


@contextmanager
def _opened() -> Iterator[moderngl.Context]:
    """An OpenGL context of its own, which belongs to the thread that runs here."""
    try:
        import moderngl
    except ImportError as error:
        raise BadInput(
            "Shaders need the package moderngl.", type="missing_package",
            hint='Install it with: pip install "comfykernel-core-nodes[shaders]"',
        ) from error  # fmt: skip
    chosen: dict[str, Any] = {"backend": "egl", "libgl": "libGL.so.1", "libegl": "libEGL.so.1"}
    try:
        context = moderngl.create_context(standalone=True, require=330, **(chosen if sys.platform == "linux" else {}))
    except Exception as error:
        # The library has no class of its own for what the system's drivers say.
        raise BadInput(
            f"There is no OpenGL here: {error}.", type="missing_opengl",
            hint="Install a driver; on Debian and Ubuntu: apt-get install libegl1 libgl1 libgl1-mesa-dri",
        ) from error  # fmt: skip
    try:
        with context:
            yield context
    finally:
        context.release()


class _Run:
    """A compiled shader with its textures."""

    def __init__(self, context: moderngl.Context, shader: Shader, inputs: ShaderInputs, size: tuple[int, int]) -> None:
        self.context, self.shader, self.inputs, self.size = context, shader, inputs, size
        self.program = _compiled(context, shader.source)
        self.triangle = context.vertex_array(self.program, [])
        outputs = max(shader.outputs, default=0) + 1
        self.target = context.framebuffer([self._texture(size) for _ in range(outputs)])
        self.between = [context.framebuffer([self._texture(size)]) for _ in range(min(2, shader.passes - 1))]
        self.textures = {name: self._texture(image.shape[2:0:-1]) for name, image in inputs.images.items()}
        self._set_constants()

    def _texture(self, size: Sequence[int], components: int = 4) -> moderngl.Texture:
        texture = self.context.texture((size[0], size[1]), components, dtype="f4")
        texture.filter = (self.context.LINEAR, self.context.LINEAR)
        texture.repeat_x = texture.repeat_y = False
        return texture

    def _set(self, name: str, value: Uniform | tuple[float, float]) -> None:
        """Set a uniform that the shader declares and uses."""
        if name not in self.program:
            return
        try:
            self.program[name].value = value  # type: ignore[union-attr]
        except Exception as error:
            raise BadInput(
                f"The shader declares {name} with a type that {value!r} does not fit: {error}.", type="invalid_shader",
                hint="u_float is float, u_int int, u_bool bool, u_resolution vec2, u_image and u_curve sampler2D.",
            ) from error  # fmt: skip

    def _set_constants(self) -> None:
        self._set("u_resolution", (float(self.size[0]), float(self.size[1])))
        for name, value in self.inputs.numbers.items():
            self._set(name, value)
        for name, table in self.inputs.tables.items():
            self.textures[name] = self._texture((len(table), 1), components=1)
            self.textures[name].write(np.ascontiguousarray(table, np.float32).tobytes())
        for unit, name in enumerate(self.textures):
            self._set(name, unit)
            self.textures[name].use(unit)

    def frames(self, count: int) -> Iterator[list[Tensor]]:
        for number in range(count):
            for name, image in self.inputs.images.items():
                if number == 0 or len(image) > 1:
                    self.textures[name].write(_uploaded(image[number % len(image)]))
            yield self._frame()

    def _frame(self) -> list[Tensor]:
        first = next(iter(self.inputs.images), None)
        source = None if first is None else self.textures[first]
        for number in range(self.shader.passes):
            last = number == self.shader.passes - 1
            target = self.target if last else self.between[number % 2]
            self._set("u_pass", number)
            if source is not None:
                source.use(0)
            target.use()
            target.clear()
            self.triangle.render(self.context.TRIANGLES, vertices=3)
            source = target.color_attachments[0]  # type: ignore[assignment]
        return [_downloaded(texture.read(), self.size) for texture in self.target.color_attachments]  # type: ignore[union-attr]


def _compiled(context: moderngl.Context, source: str) -> moderngl.Program:
    vertex, source = VERTEX_SHADER, with_full_precision(source)
    if "GL_ARB_ES3_compatibility" not in context.extensions:
        vertex, source = (ES_VERSION.sub("#version 330 core", each) for each in (vertex, source))
    try:
        return context.program(vertex_shader=vertex, fragment_shader=source)
    except Exception as error:
        # The library has one class for everything; its text has the compiler's lines.
        lines = [line for line in str(error).splitlines() if line.strip(" =-")]
        raise BadInput(
            f"The shader does not compile: {' '.join(lines)}", type="invalid_shader",
            hint="The numbers are source:line(column), as the driver counts them.",
        ) from error  # fmt: skip


def with_full_precision(source: str) -> str:
    """The shader with 32 bits for what it samples and for whole numbers, unless it says otherwise.

    GLSL ES lets a driver take fewer by default (4.5.4); graphics cards never do, drivers that compute on the processor
    do, and hashes of whole numbers need all bits.
    """
    lines = source.splitlines()
    last = max((i for i, line in enumerate(lines) if EXTENSION.match(line)), default=0) + 1
    # Lines keep their numbers for the compiler's messages.
    return "\n".join(
        [*lines[:last], "precision highp int; precision highp sampler2D;", f"#line {last + 1}", *lines[last:], ""]
    )


def _uploaded(image: Tensor) -> bytes:
    """The bytes of an image [height, width, 1, 3 or 4], with all four channels, from the lowest row on."""
    pixels = image.detach().float().cpu()
    if pixels.shape[-1] < 3:
        pixels = pixels[..., :1].expand(*pixels.shape[:2], 3)
    if pixels.shape[-1] == 3:
        pixels = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
    return pixels[..., :4].flip(0).contiguous().numpy().tobytes()


def _downloaded(data: bytes, size: tuple[int, int]) -> Tensor:
    """An image [height, width, 4] of bytes from the lowest row on."""
    pixels = np.frombuffer(data, np.float32).reshape(size[1], size[0], 4)[::-1]
    return torch.nan_to_num(torch.from_numpy(pixels.copy()))
