"""What docs/node-packs.md says, and that it says everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from comfykernel_devtools.new.pack_files import LICENSES
from comfykernel_devtools.settings import DevtoolsSettings
from comfykernel_sdk import testing
from comfykernel_sdk.testing import MemoryStorage, RunGraph, pytest_plugin

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/node-packs.md").read_text()
SOURCES = ROOT / "plugins/devtools/src/comfykernel_devtools/check"


def test_every_rule_is_listed_and_exists() -> None:
    source = "\n".join(path.read_text() for path in SOURCES.glob("*_rules.py"))
    rules = set(re.findall(r'rule="([a-z-]+)"', source)) | set(re.findall(r'at\(\s*node, "([a-z-]+)"', source))
    rules |= set(re.findall(r'"(no-[a-z]+)"\)', source))
    table = PAGE[PAGE.index("| rule |") : PAGE.index("## See changes")]
    first_column = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    assert rules == set(re.findall(r"`([a-z-]+)`", first_column))


def test_settings_licences_and_fixtures_are_told() -> None:
    for setting in msgspec.structs.fields(DevtoolsSettings):
        assert setting.name in PAGE
    for license in LICENSES:
        assert f"`{license}`" in PAGE
    for name in ("run_node", "run_graph", "run_prompt", "memory_storage"):
        assert hasattr(pytest_plugin, name)
        assert f"| `{name}" in PAGE


def test_the_example_of_the_page_runs(run_graph: RunGraph, memory_storage: MemoryStorage) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = dict(vars(testing))
    # The node of the tutorial's pack is not installed here; at strength 0 it changes nothing, as two inversions do.
    inverted = '"2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}'
    exec(re.sub(r'"2": \{.*\}\}', f'{inverted}, {inverted.replace("2", "4", 1).replace("1", "2", 1)}', block)
         .replace('"images": ["2", 0]', '"images": ["4", 0]'), names)  # fmt: skip
    names["test_it_saves_what_it_loads"](run_graph, memory_storage)
