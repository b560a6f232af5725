"""Nodes that show which inputs they got, and that check them."""

from __future__ import annotations

from typing import Annotated

from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Float, Int, Out, PromptGraph, Socket, Text, Toggle, UniqueId

from .texts import CATEGORY, String, Value

BIG = tuple(f"o{index:02d}" for index in range(25))
Number = Annotated[int, Int(default=0, min=0, max=10)]
FORBIDDEN = 99


@node("ContractValidate", category=CATEGORY, display_name="ContractValidate", description="", output_node=True)
class Validate:
    """Takes even numbers only."""

    @staticmethod
    def validate(number: int) -> bool | str:
        """Refuse in every way there is."""
        if number < 0:
            return False
        if number == FORBIDDEN:
            raise RuntimeError("validator broke")
        return True if number % 2 == 0 else "must be even"

    def run(self, number: Number, other: Number) -> Result[String]:
        """Show both."""
        return Result(str(number), ui={"text": [f"{number} {other}"]})


@node(
    "ContractValidateTypes", category=CATEGORY, display_name="ContractValidateTypes", description="", output_node=True
)
class ValidateTypes:
    """Takes links of type STRING, too."""

    @staticmethod
    def validate(input_types: dict[str, str]) -> bool | str:
        """Accept two types, and a value without a link."""
        kind = input_types.get("value")
        return True if kind in (None, "STRING", "FLOAT") else f"{kind} is not accepted"

    def run(self, value: Annotated[object, Socket("FLOAT", force_input=True)]) -> Result[String]:
        """Show the value."""
        return Result(str(value), ui={"text": [str(value)]})


@node("ContractTypes", category=CATEGORY, display_name="ContractTypes", description="", output_node=True)
def types(
    i: Annotated[int, Int(default=5, min=0, max=10)],
    f: Annotated[float, Float(default=0.5, min=0.0, max=1.0, step=0.01)],
    s: Value,
    b: Annotated[bool, Toggle(default=False)],
    c: Annotated[str, Choice("red", "green", bare=True)],
    big: Annotated[str | None, Choice(*BIG, bare=True)] = None,
    any: Annotated[object, Socket("*")] = None,
    anycombo: Annotated[str | None, Choice("x", "y", as_list=False)] = None,
    free: Annotated[object, Socket("CONTRACT_FREE", bare=False)] = None,
) -> Result[String]:
    """Show the Python type and the value of every input that was given."""
    given = {"i": i, "f": f, "s": s, "b": b, "c": c}
    optional = {"big": big, "any": any, "anycombo": anycombo, "free": free}
    values = given | {name: value for name, value in optional.items() if value is not None}
    return Result(
        "done", ui={"seen": [{name: [type(value).__name__, value] for name, value in sorted(values.items())}]}
    )


@node("ContractHidden", category=CATEGORY, display_name="ContractHidden", description="", output_node=True)
def hidden(
    value: Value,
    unique_id: UniqueId,
    prompt: PromptGraph,
    extra_pnginfo: ExtraPngInfo,
    extra: Annotated[str | None, Text(default="")] = None,
) -> Result[String]:
    """Show what the engine filled in."""
    seen: JsonObject = {
        "value": value, "extra": extra, "unique_id": unique_id, "prompt": prompt, "extra_pnginfo": extra_pnginfo,
    }  # fmt: skip
    return Result(value, ui={"seen": [seen]})


@node("ContractRaw", category=CATEGORY, display_name="ContractRaw", description="", output_node=True)
def raw(link: Annotated[list[Json], Socket("STRING", raw_link=True)]) -> Result[String]:
    """Show the link itself."""
    return Result(str(link), ui={"seen": [link]})


@node(
    "ContractMulti", category="contract/flags", display_name="Contract Multi Output", description="",
    deprecated=True, experimental=True,
)  # fmt: skip
def multi(
    value: Annotated[str, Text(default="x", multiline=True, dynamic_prompts=True)],
    seed: Annotated[int, Int(default=0, min=0, max=2**64 - 1, control_after_generate=True)],
) -> tuple[
    Annotated[str, Out("text")],
    Annotated[int, Out("length")],
    Annotated[list[str], Out("same", is_list=True, type="*")],
]:
    """The value, its length, and the value twice."""
    return value, len(value), [value, value]
