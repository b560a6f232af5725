"""Nodes that make lists of values and take values out of them."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import AnyValue, Growing, Int, Out

list_node = extra_node("nodes_logic")

T = TypeVar("T")

MOST_INPUTS: Final = 100


@list_node(
    "CreateList", category="logic", display_name="Create List", input_is_list=True,
    search_aliases=("Image Iterator", "Text Iterator", "Iterator"),
)  # fmt: skip
def create_list(
    inputs: Annotated[dict[str, T], Growing("input", min=1, max=MOST_INPUTS)],
) -> Annotated[list[T], Out("list", is_list=True)]:
    """Join values and lists of one kind into one list, in the order of the inputs; nodes behind run once for each."""
    items: list[Any] = list(inputs.values())
    return [item for group in items for item in group]


@list_node("GetItemFromList", category="logic", input_is_list=True)
def get_item_from_list(list: list[AnyValue], index: list[Annotated[int, Int(default=0)]]) -> AnyValue:
    """Take one value out of a list; 0 is the first one, -1 the last one.

    Raises:
        BadInput: the list has no such item.
    """
    place = index[0]
    if not -len(list) <= place < len(list):
        raise BadInput(
            f"The list has {len(list)} items, none of them has the index {place}.", type="no_such_item",
            hint="The first item has the index 0.",
        )  # fmt: skip
    return list[place]
