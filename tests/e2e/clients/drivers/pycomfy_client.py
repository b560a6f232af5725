"""pycomfy: waits for the message executed with pictures, also from the cache; reads no history."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from pycomfy import ComfyAPI


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    file = folder / "workflow.json"
    file.write_text(json.dumps(workflow))
    with ComfyAPI(url.removeprefix("http://")) as api:
        images = api.load_workflow(str(file)).execute()
    pictures = []
    for image in images:
        stream = io.BytesIO()
        image.save(stream, "PNG")
        pictures.append(stream.getvalue())
    return pictures
