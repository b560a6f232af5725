"""Choices that bring inputs, growing groups and matched types: from the signature to the spec, and to the call."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_sdk.dynamic import active_inputs, all_inputs, nest
from comfykernel_sdk.errors import NodeDefinitionError
from comfykernel_sdk.nodes import InputSpec, NodeSpec, definition_of, node
from comfykernel_sdk.sockets import Choice, Growing, Image, Int, Mask, Socket

T = TypeVar("T")
Picture = TypeVar("Picture", Image, Mask)
Bound = TypeVar("Bound", bound=Image | Mask)


class NoCrop(TypedDict):
    crop: Literal["none", "center"]


class Offset(TypedDict):
    crop: Literal["offset"]
    x: Annotated[int, Int(default=0, min=0)]


class ToSize(TypedDict):
    how: Literal["to size"]
    width: Annotated[int, Int(default=512, min=1, max=1024)]
    crop: NoCrop | Offset


class ByFactor(TypedDict):
    how: Literal["by factor"]
    factor: float
    note: NotRequired[str]


class LikeAnother(TypedDict, total=False):
    how: Literal["like another"]
    others: Annotated[list[Image], Growing("other_", min=1, max=3)]


@node("Resize")
def resize(
    image: Picture, how: Annotated[ToSize | ByFactor | LikeAnother, Choice(tooltip="In which way.")], mask: Mask
) -> Picture:
    """Shows what it got."""
    return (image, how, mask)


@node("Batch")
def batch(
    images: Annotated[list[Image], Growing("image", min=2, max=4)],
    weights: Annotated[dict[str, float], Growing(names=("a", "b", "c"), min=0, tooltip="One each.")],
    extras: Annotated[dict[str, Image | None], Growing("extra", min=2, max=3)],
) -> None:
    """Nothing."""


@node("Switch")
class Switch:
    """The class form."""

    def check_lazy(self, use: bool, on_true: T | None, on_false: T | None) -> list[str]:
        return ["on_true" if use else "on_false"]

    def run(
        self,
        use: bool,
        on_true: Annotated[T, Socket("*", lazy=True)],
        on_false: Annotated[T | None, Socket("*")] = None,
    ) -> T:
        raise NotImplementedError


def spec_of(item: object) -> NodeSpec:
    return definition_of(item).spec


def input_of(item: object, name: str) -> InputSpec:
    found = spec_of(item).input(name)
    assert found is not None
    return found


def shown(inputs: list[InputSpec]) -> dict[str, tuple[str, str]]:
    return {i.name: (i.type, i.group) for i in inputs if i.slots is None}


def test_a_choice_and_its_branches() -> None:
    how = input_of(resize, "how")
    assert (how.type, how.group, how.choices) == (
        "COMFY_DYNAMICCOMBO_V3", "required", ["to size", "by factor", "like another"],
    )  # fmt: skip
    assert how.options == {"tooltip": "In which way."}
    assert how.branches is not None
    assert shown(how.branches["by factor"]) == {"factor": ("FLOAT", "required"), "note": ("STRING", "optional")}
    assert [i.group for i in how.branches["like another"]] == ["optional"]
    crop = how.branches["to size"][1]
    assert crop.branches is not None
    assert {key: [i.name for i in inputs] for key, inputs in crop.branches.items()} == {
        "none": [], "center": [], "offset": ["x"],
    }  # fmt: skip


def test_growing_groups() -> None:
    images, weights, extras = (input_of(batch, name).slots for name in ("images", "weights", "extras"))
    assert images is not None
    assert (images.names, images.prefix, images.min, images.as_list) == (
        ["image0", "image1", "image2", "image3"], "image", 2, True,
    )  # fmt: skip
    assert (images.input.name, images.input.type) == ("image", "IMAGE")
    assert weights is not None
    assert (weights.names, weights.prefix, weights.as_list) == (["a", "b", "c"], None, False)
    assert weights.input.options == {"forceInput": True}
    assert input_of(batch, "weights").options == {"tooltip": "One each."}
    assert extras is not None
    assert extras.input.group == "optional"


def test_matched_types() -> None:
    assert [(i.type, i.match, i.lazy) for i in spec_of(Switch).inputs] == [
        ("BOOLEAN", None, False), ("*", "T", True), ("*", "T", False),
    ]  # fmt: skip
    assert [(o.type, o.match) for o in spec_of(Switch).outputs] == [("*", "T")]
    assert (input_of(resize, "image").type, input_of(resize, "image").match) == ("IMAGE,MASK", "Picture")

    @node("Bound")
    def bound(image: Bound) -> Bound:
        return image

    assert (input_of(bound, "image").type, spec_of(bound).outputs[0].type) == ("IMAGE,MASK", "IMAGE,MASK")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["image", "how", "mask"]),
        ({"how": "by factor", "how.width": 3}, ["image", "how", "how.factor", "how.note", "mask"]),
        ({"how": "to size"}, ["image", "how", "how.width", "how.crop", "mask"]),
        (
            {"how": "to size", "how.crop": "offset"},
            ["image", "how", "how.width", "how.crop", "how.crop.x", "mask"],
        ),
        (
            {"how": "like another", "how.others.other_2": 1},
            ["image", "how", "how.others", "how.others.other_2", "mask"],
        ),
        ({"how": {"how": "to size"}}, ["image", "how", "mask"]),
        ({"how": ["1", 0]}, ["image", "how", "mask"]),
    ],
)
def test_the_inputs_depend_on_the_values(given: dict[str, object], names: list[str]) -> None:
    assert [i.name for i in active_inputs(spec_of(resize).inputs, given)] == names


def test_the_first_inputs_of_a_group_must_be_there() -> None:
    found = shown(active_inputs(spec_of(batch).inputs, {"images.image3": 1, "weights.c": 1}))
    assert found == {
        "images.image0": ("IMAGE", "required"),
        "images.image1": ("IMAGE", "required"),
        "images.image3": ("IMAGE", "optional"),
        "weights.c": ("FLOAT", "optional"),
    }


def test_all_inputs_know_every_name() -> None:
    names = [i.name for i in all_inputs(spec_of(resize).inputs)]
    assert names == [
        "image", "how", "how.width", "how.crop", "how.crop.x", "how.factor", "how.note", "how.others.other_0",
        "how.others.other_1", "how.others.other_2", "mask",
    ]  # fmt: skip


def test_functions_get_mappings_and_lists() -> None:
    run = definition_of(resize).run
    size = {"how": "to size", "how.width": 3, "how.crop": "offset", "how.crop.x": 4}
    got = {"how": "to size", "width": 3, "crop": {"crop": "offset", "x": 4}}
    assert run(None, image=1, mask=2, **size) == (1, got, 2)
    assert run(None, image=1, how="like another", mask=2)[1] == {"how": "like another", "others": []}
    nested = {"how": "by factor", "factor": 2.0}
    assert run(None, image=1, how=nested, mask=2)[1] is nested, "what is nested already stays"
    assert nest(spec_of(batch).inputs, {"images.image2": "c", "images.image0": "a", "weights.c": 3}) == {
        "images": ["a", "c"], "weights": {"c": 3}, "extras": {},
    }  # fmt: skip


@given(
    how=st.sampled_from(["to size", "by factor", "like another", "unknown"]),
    crop=st.sampled_from(["none", "center", "offset"]),
    slots=st.sets(st.sampled_from(["other_0", "other_1", "other_2"])),
)
def test_what_is_active_is_what_the_function_gets(how: str, crop: str, slots: set[str]) -> None:
    every = {i.name: i.name for i in all_inputs(spec_of(resize).inputs)}
    given = {**every, "how": how, "how.crop": crop}
    given = {n: v for n, v in given.items() if not n.startswith("how.others.") or n.rpartition(".")[2] in slots}
    active = {i.name for i in active_inputs(spec_of(resize).inputs, given) if i.slots is None}
    values = {name: value for name, value in given.items() if name in active}

    def leaves(value: object) -> list[object]:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return [value] if parts is None else [leaf for part in parts for leaf in leaves(part)]

    assert sorted(map(str, leaves(nest(spec_of(resize).inputs, values)))) == sorted(map(str, values.values()))


class Unsaid(TypedDict):
    width: int


class Twice(TypedDict):
    how: Literal["by factor"]


def test_declarations_that_make_no_sense() -> None:
    def declare(hint: object) -> None:
        def run(how: object) -> None: ...

        run.__annotations__["how"] = hint
        node("Bad")(run)

    for hint, text in (
        (Unsaid, "does not say which choice of 'how' it belongs to"),
        (ByFactor | Twice, "has the choice 'by factor' twice"),
        (Annotated[Image, Growing("x")], "the growing group 'how' makes no sense"),
        (Annotated[list[Image], Growing("x", min=3, max=2)], "the growing group 'how' makes no sense"),
        (Annotated[list[Image], Growing("x", max=101)], "the growing group 'how' makes no sense"),
        (Annotated[list[NoCrop], Growing("x")], "does not say which choice of 'x'"),
        (Annotated[list[Annotated[list[Image], Growing("y")]], Growing("x")], "can't bring inputs of their own"),
    ):
        with pytest.raises(NodeDefinitionError, match=text):
            declare(hint)
