"""Draws small workflows in the editor's format, and the nodes that they use."""

from __future__ import annotations

from typing import Any

from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_ui_workflows.object_info import specs_of
from comfykernel_ui_workflows.reader import EditorReader

IMAGE_SPEC: list[Any] = ["IMAGE", {}]


def node_info(
    required: dict[str, Any] | None = None, optional: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A node as ``GET /object_info`` has it, with one output ``IMAGE``."""
    groups = {"required": required or {}, "optional": optional or {}}
    return {"input": groups, "output": ["IMAGE"], "output_name": ["IMAGE"], **more}


SPECS = specs_of({
    "Paint": node_info({"width": ["INT", {"default": 512, "min": 1}], "seed": ["INT", {"default": 0}]},
                       {"colour": [["red", "green"], {}]}, display_name="Paint It"),
    "Turn": node_info({"image": IMAGE_SPEC}),
    "Mix": node_info({"first": IMAGE_SPEC, "second": ["MASK", {}], "share": ["FLOAT", {"default": 0.5}]}),
    "Number": node_info({"value": ["INT", {"control_after_generate": True}]}),
    "Encode": node_info({"text": ["STRING", {"multiline": True, "dynamicPrompts": True}]}),
    "Save": node_info({"images": IMAGE_SPEC, "filename_prefix": ["STRING", {"default": "out"}]}, output_node=True),
})  # fmt: skip


class Drawing:
    """A graph under construction: ``node`` adds one, ``wire`` connects an output to an input."""

    def __init__(
        self, *, definition: str = "", inputs: list[str] | None = None, outputs: list[str] | None = None
    ) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.links: list[Any] = []
        self.definitions: list[dict[str, Any]] = []
        self.head: dict[str, Any] = {}
        if definition:
            ports = {"inputs": inputs or [], "outputs": outputs or []}
            named = {key: [{"name": name, "type": "*"} for name in names] for key, names in ports.items()}
            self.head = {"id": definition, "name": definition.title(), **named}

    def node(self, id: int | str, type: str, values: Any = None, **more: Any) -> Drawing:
        made = {"id": id, "type": type, "mode": 0, "inputs": [], "outputs": [{"name": "IMAGE", "type": "IMAGE"}]}
        if values is not None:
            made["widgets_values"] = values
        self.nodes.append(made | more)
        return self

    def wire(
        self, origin: Any, target: Any, name: str = "", *, slot: int = 0, type: str = "IMAGE", widget: bool = False
    ) -> Drawing:
        """From an output to an input; ``target`` -20 takes the number of the output as ``name``."""
        id = len(self.links) + 1
        index = int(name or 0) if target == -20 else 0
        for node in self.nodes:
            if node["id"] == target:
                index = len(node["inputs"])
                mark = {"widget": {"name": name}} if widget else {}
                node["inputs"].append({"name": name, "type": type, "link": id} | mark)
        link = {"id": id, "origin_id": origin, "origin_slot": slot, "target_id": target, "target_slot": index}
        self.links.append({**link, "type": type} if self.head else [*link.values(), type])
        return self

    def holding(self, *definitions: Drawing) -> Drawing:
        self.definitions += [each.document() for each in definitions]
        return self

    def document(self) -> dict[str, Any]:
        made = {**self.head, "nodes": self.nodes, "links": self.links}
        return {**made, "definitions": {"subgraphs": self.definitions}} if self.definitions else made


def prompt(drawing: Drawing | dict[str, Any], **options: Any) -> dict[str, Any]:
    """The prompt of a drawing, without titles."""
    document = drawing.document() if isinstance(drawing, Drawing) else drawing
    graph = EditorReader().convert(document, options.pop("specs", SPECS), **options).graph
    return {id: {"class_type": node["class_type"], "inputs": node["inputs"]} for id, node in graph.items()}


def inputs(drawing: Drawing | dict[str, Any], id: str, **options: Any) -> dict[str, Any]:
    """The inputs of one node of the prompt."""
    found: dict[str, Any] = prompt(drawing, **options)[id]["inputs"]
    return found


def refused(document: Drawing | dict[str, Any], **options: Any) -> InvalidPrompt:
    """The error that a document leads to."""
    try:
        prompt(document, **options)
    except InvalidPrompt as error:
        return error
    raise AssertionError("it was converted")
