"""Names of weights in LoRA files: which module of a model a name in a file means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from comfykernel_core_nodes.diffusion.transformer_layouts import Slot, flux_slots, sd3_slots

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
    "time_embed.0": ("time_embedding.linear_1",),
    "time_embed.2": ("time_embedding.linear_2",),
    "label_emb.0.0": ("add_embedding.linear_1", "class_embedding.linear_1"),
    "label_emb.0.2": ("add_embedding.linear_2", "class_embedding.linear_2"),
    "input_blocks.0.0": ("conv_in",),
    "out.0": ("conv_norm_out",),
    "out.2": ("conv_out",),
}
_BLOCK = re.compile(r"(input_blocks|output_blocks)\.(\d+)\.(\d+)\.(.+)")
_NUMBERED = re.compile(r"(double_blocks|single_blocks|joint_blocks)\.(\d+)\.")
_MIDDLE = re.compile(r"middle_block\.(\d)\.(.+)")


class Target(NamedTuple):
    """What files treat as a module though it is none: a tensor, or its rows from `start` on, `rows` of them."""

    tensor: str
    start: int = 0
    rows: int | None = None


class ModelNames(NamedTuple):
    """What names in files mean: accepted name -> module, or -> a name of `targets`."""

    names: dict[str, str]
    targets: Mapping[str, Target]


def model_names(shapes: Mapping[str, Sequence[int]]) -> ModelNames:
    """All accepted names of a diffusion network's modules; `shapes` are those of its tensors."""
    if "double_blocks.0.img_attn.qkv.weight" in shapes:
        return _transformer_names(shapes, flux_slots(_counts(shapes)))
    if "joint_blocks.0.x_block.attn.qkv.weight" in shapes:
        return _transformer_names(shapes, sd3_slots(_counts(shapes)))
    targets = _tensor_targets(shapes)
    return ModelNames({**unet_names(shapes), **_tensor_names(targets)}, targets)


def _tensor_targets(weights: Iterable[str]) -> dict[str, Target]:
    """Tensors that are no module's weight, by themselves."""
    return {name: Target(name) for name in weights if not name.endswith(".weight")}


def _tensor_names(targets: Iterable[str]) -> dict[str, str]:
    return {f"diffusion_model.{name}": name for name in targets}


def _counts(shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """How many blocks of each kind there are."""
    counts: dict[str, int] = {}
    for name in shapes:
        if match := _NUMBERED.match(name):
            counts[match[1]] = max(counts.get(match[1], 0), int(match[2]) + 1)
    return counts


def _transformer_names(shapes: Mapping[str, Sequence[int]], slots: Mapping[str, Slot]) -> ModelNames:
    targets = _tensor_targets(shapes)
    names = {**own_names(shapes), **_tensor_names(targets)}
    for other, slot in slots.items():
        weight = shapes.get(f"{slot.module}.weight")
        if weight is None:
            continue
        module = slot.module
        if slot.parts > 1:
            # All parts but the last are as wide as the input; the last takes the rest.
            start, last = slot.part * weight[1], slot.part == slot.parts - 1
            module = f"{slot.module}[{slot.part}]"
            targets[module] = Target(f"{slot.module}.weight", start, weight[0] - start if last else weight[1])
        flat = other.replace(".", "_")
        for beginning in ("transformer.", "base_model.model.", "unet.base_model.model."):
            names[f"{beginning}{other}"] = module
        names[f"lora_transformer_{flat}"] = names[f"lycoris_{flat}"] = module
    return ModelNames(names, targets)


def own_names(weights: Iterable[str]) -> dict[str, str]:
    """The names that follow from a network's own ones: with dots, and with underscores as kohya writes them."""
    modules = sorted({name.removesuffix(".weight") for name in weights if name.endswith(".weight")})
    names: dict[str, str] = {}
    for module in modules:
        names[f"diffusion_model.{module}"] = module
        names[f"lora_unet_{module.replace('.', '_')}"] = module
    return names


def unet_names(weights: Iterable[str]) -> dict[str, str]:
    """All accepted names of a UNet's modules -> module name; `weights` are its tensors' names."""
    names = own_names(weights)
    for module, others in diffusers_names(set(names.values())).items():
        for other in others:
            flat = other.replace(".", "_")
            names[f"lora_unet_{flat}"] = names[f"lycoris_{flat}"] = module
            processor = other.replace(".to_", ".processor.to_")
            processor = processor.removesuffix(".0") if other.endswith(".to_out.0") else processor
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
        names[f"text_encoders.clip_{part}.transformer.text_model.{module}"] = module
        if module.startswith("encoder.layers.") and not module.endswith(("layer_norm1", "layer_norm2")):
            flat = module.replace(".", "_")
            beginnings = ("lora_te2_",) if second else ("lora_te_", "lora_te1_")
            names.update({f"{beginning}text_model_{flat}": module for beginning in beginnings})
            names[f"text_encoder{'_2' if second else ''}.text_model.{module}"] = module
        elif module == "text_projection":
            names[f"text_encoders.clip_{part}.transformer.{module}"] = module
            names.pop(f"text_encoders.clip_{part}.transformer.text_model.{module}")
            for beginning in ("lora_te2_", "lora_prior_te_") if part == "g" else ("lora_te1_",):
                names[f"{beginning}{module}"] = module
    return names


def diffusers_names(modules: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Module name in the original layout -> names in the diffusers layout, for those that have one."""
    modules = list(modules)
    present = set(modules)
    places = dict(_block_places(present))
    names = {module: _OUTER_NAMES[module] for module in modules if module in _OUTER_NAMES}
    for module in modules:
        if match := _MIDDLE.fullmatch(module):
            index, rest = int(match[1]), match[2]
            place = "mid_block.attentions.0" if index == 1 else f"mid_block.resnets.{index // 2}"
            names[module] = (f"{place}.{_RESIDUAL_NAMES.get(rest, rest)}",)
        elif match := _BLOCK.fullmatch(module):
            part = f"{match[1]}.{match[2]}.{match[3]}"
            if part in places:
                names[module] = (f"{places[part]}.{_inner_name(match[4])}",)
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
