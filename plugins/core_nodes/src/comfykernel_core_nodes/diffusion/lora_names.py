"""Names of weights in LoRA files: which module of a model a name in a file means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

# Module names inside a residual block: original layout -> diffusers layout.
_RESIDUAL_NAMES: Final = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_OUTER_NAMES: Final = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_BLOCK = re.compile(r"(input_blocks|output_blocks)\.(\d+)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"middle_block\.(\d)\.(.+)")


def unet_names(weights: Iterable[str]) -> dict[str, str]:
    """All accepted names of a UNet's modules -> module name; `weights` are its tensors' names."""
    modules = sorted({name.removesuffix(".weight") for name in weights if name.endswith(".weight")})
    names: dict[str, str] = {}
    for module in modules:
        names[f"diffusion_model.{module}"] = module
        names[f"lora_unet_{module.replace('.', '_')}"] = module
    for module, other in diffusers_names(modules).items():
        flat = other.replace(".", "_")
        names[f"lora_unet_{flat}"] = names[f"lycoris_{flat}"] = module
        processor = other.replace(".to_", ".processor.to_").removesuffix(".0" if other.endswith(".to_out.0") else "\0")
        names[processor] = names[f"unet.{processor}"] = module
    return names


def text_names(part: str, weights: Iterable[str], parts: Iterable[str]) -> dict[str, str]:
    """All accepted names of a text model's modules -> module name.

    part: the text model's name in its family (`l`, `g`, `h`, `t5xxl`); parts: those of all text models of the family,
    because files count them.
    """
    modules = [weight.removesuffix(".weight") for weight in weights if weight.endswith(".weight")]
    others = set(parts)
    names: dict[str, str] = {}
    if part == "t5xxl":
        number = 1 + len(others & {"l", "g"})
        for module in modules:
            flat = module.replace(".", "_")
            for count in {number, 3 if number == 2 else number}:
                names[f"lora_te{count}_{flat}"] = module
            names[f"text_encoders.t5xxl.transformer.{module}"] = module
        return names
    second = part == "g" and "l" in others
    for module in modules:
        if module.startswith("encoder.layers."):
            flat = module.replace(".", "_")
            beginnings = ("lora_te2_",) if second else ("lora_te_", "lora_te1_")
            names.update({f"{beginning}text_model_{flat}": module for beginning in beginnings})
            names[f"text_encoder{'_2' if second else ''}.text_model.{module}"] = module
            names[f"text_encoders.clip_{part}.transformer.text_model.{module}"] = module
        elif module == "text_projection":
            names["lora_te2_text_projection" if part == "g" else "lora_te1_text_projection"] = module
            names[f"text_encoders.clip_{part}.transformer.text_projection"] = module
    return names


def diffusers_names(modules: Iterable[str]) -> dict[str, str]:
    """Module name in the original layout -> name in the diffusers layout, for those that have one."""
    modules = list(modules)
    present = set(modules)
    places = dict(_block_places(present))
    names = {module: _OUTER_NAMES[module] for module in modules if module in _OUTER_NAMES}
    for module in modules:
        if match := _MIDDLE.fullmatch(module):
            index, rest = int(match[1]), match[2]
            place = "mid_block.attentions.0" if index == 1 else f"mid_block.resnets.{index // 2}"
            names[module] = f"{place}.{_RESIDUAL_NAMES.get(rest, rest)}"
        elif match := _BLOCK.fullmatch(module):
            part = f"{match[1]}.{match[2]}.{match[3]}"
            if part in places:
                names[module] = f"{places[part]}.{_inner_name(match[4])}"
    return names


def _inner_name(name: str) -> str:
    return "conv" if name == "op" else _RESIDUAL_NAMES.get(name, name)


def _block_places(modules: set[str]) -> Iterator[tuple[str, str]]:
    """Place of each block's part: a level ends with the block that changes the size."""
    for half, other in (("input_blocks", "down_blocks"), ("output_blocks", "up_blocks")):
        level = position = 0
        for n in range(1 if half == "input_blocks" else 0, _block_count(half, modules)):
            block = f"{half}.{n}"
            if f"{block}.0.op" in modules:
                yield f"{block}.0", f"down_blocks.{level}.downsamplers.0"
                level, position = level + 1, 0
                continue
            yield f"{block}.0", f"{other}.{level}.resnets.{position}"
            yield f"{block}.1", f"{other}.{level}.attentions.{position}"
            position += 1
            for part in (1, 2):
                if f"{block}.{part}.conv" in modules:
                    yield f"{block}.{part}", f"up_blocks.{level}.upsamplers.0"
                    level, position = level + 1, 0


def _block_count(half: str, modules: set[str]) -> int:
    return 1 + max((int(name.split(".")[1]) for name in modules if name.startswith(half + ".")), default=-1)


def longest_prefixes(keys: Iterable[str], names: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(name, module, rest of the key) for each key of a file that begins with an accepted name."""
    for key in keys:
        for end in range(len(key), 0, -1):
            if key[end:][:1] in ("", ".", "_") and key[:end] in names:
                yield key[:end], names[key[:end]], key[end:]
                break
