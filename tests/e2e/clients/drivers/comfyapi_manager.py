"""comfyapi: polls the history for an image of type output; asks /view without a subfolder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfyapi


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    file = folder / "workflow.json"
    file.write_text(json.dumps(workflow))
    manager = comfyapi.ComfyAPIManager()
    manager.set_base_url(url)
    manager.load_workflow(str(file))
    prompt_id = manager.submit_workflow()
    manager.wait_for_finish(prompt_id, poll_interval=0.2, max_wait_time=120)
    address, name = manager.find_output(prompt_id, with_filename=True)
    manager.download_output(address, save_path=str(folder), filename=f"got-{name}")
    return [(folder / f"got-{name}").read_bytes()]
