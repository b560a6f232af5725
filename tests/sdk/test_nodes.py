"""From a function's signature to the spec that clients see."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Annotated, Literal

import pytest

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import NodeDefinitionError
from comfykernel_sdk.graph import Expansion
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Blocker, InputSpec, NodePack, NodeSpec, OutputSpec, Result, definition_of, node
from comfykernel_sdk.sockets import (
    AnyValue,
    Choice,
    ExtraPngInfo,
    File,
    Float,
    Hidden,
    Image,
    Int,
    Latent,
    Mask,
    Model,
    Out,
    PromptGraph,
    Socket,
    Text,
    Toggle,
    UniqueId,
)


def spec_of(item: object) -> NodeSpec:
    return definition_of(item).spec


def inputs_of(item: object) -> dict[str, tuple[str, str, object]]:
    return {i.name: (i.type, i.group, i.options) for i in spec_of(item).inputs}


@node("All", category="test/all", display_name="All of it", output_node=True, version="2", search_aliases=("every",))
def everything(
    image: Image,
    model: Annotated[Model, Socket("MODEL", tooltip="the model")],
    steps: Annotated[int, Int(default=20, min=1, max=100, step=1, control_after_generate=True)],
    plain: int,
    text: Annotated[str, Text(default="", multiline=True, dynamic_prompts=False)],
    flag: Annotated[bool, Toggle(default=False, label_on="yes")],
    linked: Annotated[float, Float(force_input=True)],
    name: Annotated[str, Choice(source="checkpoints")],
    file: Annotated[str, File()],
    mode: Literal["a", "b"],
    id: UniqueId,
    prompt: PromptGraph,
    info: ExtraPngInfo,
    token: Annotated[str, Hidden("API_KEY_COMFY_ORG")],
    context: NodeContext,
    ratio: float = 0.5,
    mask: Mask | None = None,
    combo: Annotated[str, Choice("x", "y", as_list=False)] = "x",
) -> tuple[Image, Annotated[Latent, Out("samples", tooltip="t")], Annotated[list[int], Out(is_list=True)]]:
    """Everything at once.

    The second paragraph is for readers of the code.
    """
    raise NotImplementedError


def test_inputs_types_groups_and_options() -> None:
    assert inputs_of(everything) == {
        "image": ("IMAGE", "required", None),
        "model": ("MODEL", "required", {"tooltip": "the model"}),
        "steps": ("INT", "required", {"default": 20, "min": 1, "max": 100, "step": 1, "control_after_generate": True}),
        "plain": ("INT", "required", {}),
        "text": ("STRING", "required", {"default": "", "multiline": True, "dynamicPrompts": False}),
        "flag": ("BOOLEAN", "required", {"default": False, "label_on": "yes"}),
        "linked": ("FLOAT", "required", {"forceInput": True}),
        "name": ("COMBO", "required", {}),
        "file": ("COMBO", "required", {"image_upload": True}),
        "mode": ("COMBO", "required", {}),
        "id": ("UNIQUE_ID", "hidden", None),
        "prompt": ("PROMPT", "hidden", None),
        "info": ("EXTRA_PNGINFO", "hidden", None),
        "token": ("API_KEY_COMFY_ORG", "hidden", None),
        "ratio": ("FLOAT", "optional", {"default": 0.5}),
        "mask": ("MASK", "optional", None),
        "combo": ("COMBO", "optional", {"default": "x"}),
    }


def test_choices() -> None:
    def choices(name: str) -> tuple[object, ...]:
        found = spec_of(everything).input(name)
        assert found is not None
        return found.choices, found.source, found.kinds, found.as_list

    assert choices("name") == ([], "checkpoints", [], True)
    assert choices("file") == ([], "input", ["image"], True)
    assert choices("mode") == (["a", "b"], None, [], True)
    assert choices("combo") == (["x", "y"], None, [], False)
    assert spec_of(everything).input("nothing") is None


def test_the_rest_of_a_spec() -> None:
    spec = spec_of(everything)
    assert (spec.description, spec.category, spec.display_name) == ("Everything at once.", "test/all", "All of it")
    assert (spec.output_node, spec.version, spec.search_aliases) == (True, "2", ["every"])
    assert spec.python_module == ""
    assert spec.outputs == [
        OutputSpec(type="IMAGE", name="IMAGE"),
        OutputSpec(type="LATENT", name="samples", tooltip="t"),
        OutputSpec(type="INT", name="INT", is_list=True),
    ]
    assert definition_of(everything).context_parameter == "context"


@pytest.mark.parametrize(
    ("hint", "wires"),
    [
        (None, []),
        (Image, ["IMAGE"]),
        (Result[None], []),
        (Result, []),
        (Result[Image], ["IMAGE"]),
        (Result[tuple[Image, Mask]], ["IMAGE", "MASK"]),
        (Image | Expansion, ["IMAGE"]),
        (tuple[int, str] | Blocker, ["INT", "STRING"]),
        (AnyValue, ["*"]),
        (Annotated[list[str], Out("n", is_list=True, type="*")], ["*"]),
    ],
)
def test_outputs_from_the_return_annotation(hint: object, wires: list[str]) -> None:
    def run() -> None:
        pass

    run.__annotations__["return"] = hint
    assert [output.type for output in spec_of(node("X")(run)).outputs] == wires


def test_the_outermost_marker_counts() -> None:
    @node("X")
    def run(image: Annotated[Image, Socket("IMAGE,MASK", lazy=True)]) -> Annotated[Image, Out("picture")]:
        return image

    assert inputs_of(run) == {"image": ("IMAGE,MASK", "required", {"lazy": True})}
    assert spec_of(run).outputs == [OutputSpec(type="IMAGE", name="picture")]


def test_a_node_that_takes_lists_says_so_to_type_checkers() -> None:
    @node("X", input_is_list=True)
    def run(images: list[Image], count: list[Annotated[int, Int(default=1)]]) -> int:
        return len(images)

    assert inputs_of(run) == {"images": ("IMAGE", "required", None), "count": ("INT", "required", {"default": 1})}


def test_the_class_form() -> None:
    @node("Class")
    class Class:
        """A node with everything."""

        def check_lazy(self, a: int | None) -> list[str]:
            return ["a"]

        @classmethod
        def fingerprint(cls, a: int) -> str:
            return f"print {a}"

        @staticmethod
        def validate(a: int, input_types: dict[str, str], **others: object) -> bool:
            return a > 0

        def run(self, a: Annotated[int, Int(lazy=True)], b: int = 2) -> int:
            return a + b

    definition = definition_of(Class)
    spec = definition.spec
    assert (spec.has_fingerprint, spec.has_lazy_check, spec.validates, spec.checks_types) == (
        True,
        True,
        ["a", "*"],
        True,
    )
    assert definition.create is not None
    instance = definition.create()
    assert definition.run(instance, a=1) == 3
    assert definition.fingerprint is not None
    assert definition.fingerprint(instance, a=5) == "print 5"
    assert definition.validate is not None
    assert definition.validate(None, a=5, input_types={}) is True
    assert inputs_of(Class) == {
        "a": ("INT", "required", {"lazy": True}),
        "b": ("INT", "optional", {"default": 2}),
    }


async def test_functions_stay_what_they_were() -> None:
    @node("Later", fingerprint=lambda a: a, validate=lambda: True)
    async def later(a: int) -> int:
        return a

    definition = definition_of(later)
    assert definition.is_async
    assert definition.create is None
    result = definition.run(None, a=3)
    assert isinstance(result, typing.Awaitable)
    assert (await result, await later(4)) == (3, 4)
    assert (definition.spec.has_fingerprint, definition.spec.validates) == (True, [])


def without_annotation(a) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return 1


def of_unknown_type(a: object) -> int:
    return 1


def without_return(a: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return a


def of_unknown_output() -> dict[str, int]:
    return {}


def with_wrong_range(a: Annotated[int, Int(min=3, max=1)]) -> int:
    return a


def with_default_out_of_range(a: Annotated[int, Int(default=5, max=3)]) -> int:
    return a


def with_default_that_is_no_choice(a: Annotated[str, Choice("x", default="y")]) -> int:
    return 1


@pytest.mark.parametrize(
    "wrong",
    [
        without_annotation, of_unknown_type, without_return, of_unknown_output, with_wrong_range,
        with_default_out_of_range, with_default_that_is_no_choice,
    ],
)  # fmt: skip
def test_declarations_that_make_no_sense(wrong: object) -> None:
    with pytest.raises(NodeDefinitionError):
        node("Wrong")(wrong)  # type: ignore[call-overload]


def test_a_class_needs_the_method_run() -> None:
    with pytest.raises(NodeDefinitionError, match="run"):

        @node("Wrong")
        class Wrong:
            pass


def test_packs() -> None:
    pack = NodePack("pack", [everything])
    assert list(pack.nodes) == ["All"]
    with pytest.raises(NodeDefinitionError, match="two nodes"):
        pack.add(everything)
    with pytest.raises(NodeDefinitionError, match="no node"):
        pack.add(print)
    values: dict[str, Json] = {"default": 1}
    assert InputSpec(name="a", type="INT", options=values).has_default()
    assert not InputSpec(name="a", type="INT").has_default()


def test_a_choice_without_values_takes_those_of_the_literal() -> None:
    @node("Told")
    def told(tone: Annotated[Literal["calm", "loud"], Choice(default="loud", tooltip="How.")]) -> str:
        return tone

    spec = definition_of(told).spec.input("tone")
    assert spec is not None
    assert (spec.choices, spec.options) == (["calm", "loud"], {"default": "loud", "tooltip": "How."})
    with pytest.raises(NodeDefinitionError, match="none of its choices"):

        @node("Wrong")
        def wrong(tone: Annotated[Literal["calm"], Choice(default="loud")]) -> str:
            return tone


def test_tooltips_come_from_the_docstring() -> None:
    @node("Told")
    def told(
        image: Image, strength: Annotated[float, Float(default=1.0, tooltip="as annotated")], steps: int, id: UniqueId
    ) -> Image:
        """Do something.

        More of it.

        Args:
            image: what is changed,
                over two lines.
            strength: not shown.
            steps (int): how often: at least once.

                With a paragraph of its own.
            id: the node.

        Raises:
            ValueError: steps: no.
        """
        return image

    assert inputs_of(told) == {
        "image": ("IMAGE", "required", {"tooltip": "what is changed, over two lines."}),
        "strength": ("FLOAT", "required", {"default": 1.0, "tooltip": "as annotated"}),
        "steps": ("INT", "required", {"tooltip": "how often: at least once. With a paragraph of its own."}),
        "id": ("UNIQUE_ID", "hidden", None),
    }
    assert spec_of(told).description == "Do something."

    @node("InClass")
    class InClass:
        """Do more.

        Args:
            text: of the class.
            more: of the class, too.
        """

        def run(self, text: str, more: str) -> str:
            """Do it.

            Args:
                more: of the method.
            """
            return text + more

    assert [options for _, _, options in inputs_of(InClass).values()] == [
        {"tooltip": "of the class."}, {"tooltip": "of the method."},
    ]  # fmt: skip


def test_a_pack_knows_its_folders(tmp_path: Path) -> None:
    assert (NodePack("p").directory, NodePack("p").web_directory) == (None, None)
    assert NodePack("p", directory=str(tmp_path)).web_directory is None
    (tmp_path / "web").mkdir()
    assert NodePack("p", directory=str(tmp_path)).web_directory == str(tmp_path / "web")
    assert NodePack("p", directory=str(tmp_path), web_directory="/js").web_directory == "/js"
