"""comfy-script: makes Python types of the whole of /object_info, and submits what is built with them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from comfy_script.runtime import Workflow, load


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    load(url)
    from comfy_script.runtime import nodes

    inputs = workflow["1"]["inputs"]
    with Workflow(wait=True):
        image = nodes.EmptyImage(inputs["width"], inputs["height"], inputs["batch_size"], inputs["color"])
        saved = nodes.SaveImage(nodes.ImageInvert(image), "script")
    pictures = []
    for shown in saved.wait():
        stream = io.BytesIO()
        shown.save(stream, "PNG")
        pictures.append(stream.getvalue())
    return pictures
