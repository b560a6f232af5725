"""A pack whose inputs depend on each other, served by a real server: its interface, its prompts, its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, pack_site: Callable[[str], Path]) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("dynamic"), pack_site("dynamic_nodes"))
    server.start()
    yield server
    server.stop()


def made(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def dotted(class_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


CARDS = {name: made("DynamicCard", text=name * 2) for name in "abc"} | {"stamp": made("DynamicStamp", text="s")}
STAMP_FOR_CARD = "received_type(DYNAMIC_STAMP) mismatch input_type(DYNAMIC_CARD)"
SHOWN = {"show": made("DynamicShow", value=["x", 0])}


def shown(served: Server, class_type: str, inputs: dict[str, Any]) -> str:
    entry = served.history(served.post({**CARDS, "x": dotted(class_type, inputs), **SHOWN}))
    assert entry["status"]["status_str"] == "success", entry["status"]
    return str(entry["outputs"]["show"]["text"][0])


def refused(served: Server, class_type: str, inputs: dict[str, Any]) -> list[tuple[str, str, str]]:
    answer = served.http.post("/prompt", json={"prompt": {**CARDS, "x": dotted(class_type, inputs), **SHOWN}})
    assert answer.status_code == 400
    errors = answer.json()["node_errors"]["x"]["errors"]
    return [(error["type"], error["details"], error["extra_info"]["input_name"]) for error in errors]


@pytest.mark.parametrize(
    ("class_type", "inputs", "text"),
    [
        ("DynamicResize", {"value": ["a", 0], "how": "never"}, "aa"),
        ("DynamicResize", {"value": ["a", 0], "how": "to size", "how.width": "4"}, "aa.."),
        ("DynamicResize", {"value": ["a", 0], "how": "to size", "how.width": 4, "how.fill": "-"}, "aa--"),
        ("DynamicResize", {"value": ["a", 0], "how": "by factor", "how.factor": 1.5, "how.width": 99}, "aaa"),
        (
            "DynamicResize",
            {"value": ["a", 0], "how": "like others", "how.others.other0": ["b", 0], "how.others.other2": ["x2", 0]},
            "aa......",
        ),
        (
            "DynamicBatch",
            {"cards.card0": ["a", 0], "cards.card1": ["b", 0], "cards.card4": ["c", 0], "weights.second": 2},
            "aa+bb+cc+second=2",
        ),
        ("DynamicSwitch", {"use": False, "on_true": ["a", 0], "on_false": ["b", 0]}, "bb"),
        ("DynamicFirst", {"things.thing0": ["stamp", 0]}, "s"),
        ("OldScale", {"picture": ["a", 0], "scale_by": 2}, "aaaa"),
    ],
)
def test_prompts_with_dotted_names(served: Server, class_type: str, inputs: dict[str, Any], text: str) -> None:
    CARDS["x2"] = dotted("DynamicResize", {"value": ["c", 0], "how": "to size", "how.width": 8})
    assert shown(served, class_type, inputs) == text


@pytest.mark.parametrize(
    ("class_type", "inputs", "error"),
    [
        (
            "DynamicResize", {"value": ["a", 0], "how": "sideways"},
            ("value_not_in_list", "how: 'sideways' not in ['never', 'to size', 'by factor', 'like others']", "how"),
        ),
        (
            "DynamicResize", {"value": ["a", 0], "how": "to size"},
            ("required_input_missing", "how.width", "how.width"),
        ),
        (
            "DynamicResize", {"value": ["a", 0], "how": "to size", "how.width": 65},
            ("value_bigger_than_max", "how.width", "how.width"),
        ),
        (
            "DynamicResize", {"value": ["a", 0], "how": "like others"},
            ("required_input_missing", "how.others.other0", "how.others.other0"),
        ),
        ("DynamicBatch", {"cards.card0": ["a", 0]}, ("required_input_missing", "cards.card1", "cards.card1")),
        (
            "DynamicBatch", {"cards.card0": ["a", 0], "cards.card1": ["a", 0], "cards.card5": ["a", 0]},
            ("unknown_input", "cards.card5: cards takes cards.card0 to cards.card4", "cards.card5"),
        ),
        (
            "DynamicBatch", {"cards.card0": ["a", 0], "cards.card1": ["stamp", 0]},
            ("return_type_mismatch", f"cards.card1, {STAMP_FOR_CARD}", "cards.card1"),
        ),
        (
            "DynamicSwitch", {"use": True, "on_true": ["a", 0], "on_false": ["stamp", 0]},
            ("return_type_mismatch", f"on_false, {STAMP_FOR_CARD}", "on_false"),
        ),
    ],
)  # fmt: skip
def test_bad_dotted_names(served: Server, class_type: str, inputs: dict[str, Any], error: tuple[str, str, str]) -> None:
    assert refused(served, class_type, inputs) == [error]


def test_the_interface(served: Server) -> None:
    info = served.http.get("/object_info/DynamicResize").json()["DynamicResize"]
    assert info["python_module"] == "custom_nodes.dynamic_nodes"
    assert info["description"] == "Make a text longer or shorter."
    assert info["input"]["required"]["value"] == ["DYNAMIC_CARD", {"tooltip": "the card whose text is resized."}]
    kind, options = info["input"]["required"]["how"]
    assert (kind, options["tooltip"]) == ("COMFY_DYNAMICCOMBO_V3", "In which way.")
    assert options["options"][1] == {
        "key": "to size",
        "inputs": {
            "required": {"width": ["INT", {"default": 8, "min": 1, "max": 64, "tooltip": "Letters."}]},
            "optional": {"fill": ["STRING", {}]},
        },
    }
    assert options["options"][3]["inputs"]["required"]["others"][0] == "COMFY_AUTOGROW_V3"


def test_what_the_pack_brings_for_the_page(served: Server) -> None:
    get = served.http.get
    assert "/extensions/dynamic_nodes/dynamic.js" in get("/api/extensions").json()
    script = get("/extensions/dynamic_nodes/dynamic.js")
    assert (script.status_code, script.headers["content-type"].partition(";")[0]) == (200, "text/javascript")
    assert get("/extensions/dynamic_nodes/docs/DynamicResize/en.md").text.startswith("# Resize a card")
    assert get("/extensions/dynamic_nodes/docs/DynamicResize/fr.md").status_code == 404
    words = get("/api/i18n").json()["de"]
    assert words["dynamicNodes"] == {"hello": "hallo"}
    assert words["nodeDefs"]["DynamicResize"]["display_name"] == "Karte anpassen"
    assert get("/api/workflow_templates").json()["dynamic_nodes"] == ["cards"]
    assert get("/api/workflow_templates/dynamic_nodes/cards.json").json()["version"] == 0.4
    assert get("/api/node_replacements").json() == {
        "OldScale": [
            {
                "new_node_id": "DynamicResize",
                "old_node_id": "OldScale",
                "old_widget_ids": ["scale_by"],
                "input_mapping": [
                    {"new_id": "value", "old_id": "picture"},
                    {"new_id": "how.factor", "old_id": "scale_by"},
                    {"new_id": "how", "set_value": "by factor"},
                ],
                "output_mapping": [{"new_idx": 0, "old_idx": 1}],
            }
        ],
        "OldShow": [
            {
                "new_node_id": "DynamicShow",
                "old_node_id": "OldShow",
                "old_widget_ids": None,
                "input_mapping": None,
                "output_mapping": None,
            }
        ],
    }


def test_an_old_prompt_runs_as_a_whole(served: Server) -> None:
    graph = {**CARDS, "x": made("OldScale", picture=["a", 0], scale_by=2), "show": made("OldShow", value=["x", 1])}
    entry = served.history(served.post(graph))
    assert entry["outputs"]["show"]["text"] == ["aaaa"]
    assert entry["prompt"][2]["x"]["class_type"] == "DynamicResize"
