"""A node that makes a text and one that changes an image."""

from __future__ import annotations

from typing import Annotated

import torch

from comfykernel_sdk.nodes import node
from comfykernel_sdk.sockets import Choice, Float, Image, Out, Socket, Text

GREETINGS = {"English": "Hello", "Deutsch": "Hallo", "Español": "Hola"}


@node("HelloGreeting", category="hello", display_name="Greeting")
def greeting(
    name: Annotated[str, Text(default="world", tooltip="Who is greeted.")],
    language: Annotated[str, Choice(*GREETINGS, default="English", tooltip="In which one.")],
) -> Annotated[str, Out(tooltip="The greeting.")]:
    """Greet somebody in a language of their choice."""
    return f"{GREETINGS[language]}, {name}!"


@node("HelloVignette", category="hello", display_name="Vignette")
def vignette(
    image: Annotated[Image, Socket("IMAGE", tooltip="Any number of pictures.")],
    strength: Annotated[float, Float(default=0.5, min=0.0, max=1.0, step=0.05, tooltip="1: black corners.")],
) -> Annotated[Image, Out(tooltip="The same pictures, darker outside.")]:
    """Darken an image towards its corners.

    Each pixel is multiplied by ``1 - strength * r²``, where ``r`` is its distance from the centre, 1 in a corner.
    """
    height, width = image.shape[1:3]
    y = torch.linspace(-1, 1, height, device=image.device)[:, None]
    x = torch.linspace(-1, 1, width, device=image.device)[None, :]
    falloff = 1 - strength * (x * x + y * y) / 2
    return image * falloff[None, :, :, None]
