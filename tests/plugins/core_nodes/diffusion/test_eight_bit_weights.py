"""Models of 8-bit files take the memory of their file, and give the bits of a model whose weights were cast at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint, load_diffusion_model, stored_as
from comfykernel_core_nodes.diffusion.compiled_regions import compile_blocks
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel, RunnableModel
from comfykernel_core_nodes.diffusion.eight_bit_layers import EightBitEmbedding, EightBitLinear, held_weight
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory, Part, Precision, configure_memory
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder, encode_prompt
from comfykernel_core_nodes.diffusion.weight_patches import AddDifference, AddWeight
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights

FP8 = torch.float8_e4m3fn
QKV = "double_blocks.0.img_attn.qkv.weight"


def memory_of(*, precision: Precision = "bf16", packed: bool = False, model_bytes: int | None = None) -> ModelMemory:
    return ModelMemory(DevicePolicy(device="cpu", force=precision, packed=packed, model_bytes=model_bytes))


def is_matrix(name: str, tensor: Tensor) -> bool:
    return name.endswith(".weight") and tensor.ndim >= 2


def scaled(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Matrices in 8 bits with a factor each, as scaled files have them; all else stays."""
    for name, tensor in tensors.items():
        if is_matrix(name, tensor):
            factor = tensor.float().abs().max() / 448
            yield name, (tensor.float() / factor).to(FP8)
            yield name.removesuffix("weight") + "scale_weight", factor
        else:
            yield name, tensor


def cast_at_once(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The numbers that an 8-bit file stands for, in float32."""
    factors = {name.replace("scale_weight", "weight"): t for name, t in tensors.items() if "scale_weight" in name}
    numbers = {name: tensor.float() for name, tensor in tensors.items() if "scale_weight" not in name}
    return {name: tensor * factors[name] if name in factors else tensor for name, tensor in numbers.items()}


@pytest.fixture(params=["plain", "scaled"])
def flux_pair(
    request: pytest.FixtureRequest, tmp_path: Path, family_checkpoint: Callable[[str], Path]
) -> tuple[Path, Path]:
    """A Flux checkpoint in 8 bits, and the same numbers in float32."""
    tensors = load_file(family_checkpoint("flux"))
    eight = {name: t.to(FP8) for name, t in tensors.items()} if request.param == "plain" else dict(scaled(tensors))
    wide = cast_at_once(eight)
    for name, content in (("eight", eight), ("wide", wide)):
        save_file(content, tmp_path / f"{name}.safetensors")
    return tmp_path / "eight.safetensors", tmp_path / "wide.safetensors"


def predicted(model: DiffusionModel, memory: ModelMemory) -> Tensor:
    return denoised(model.ready(memory))


@torch.inference_mode()
def denoised(runnable: RunnableModel) -> Tensor:
    x = torch.linspace(-1, 1, 1024).view(1, 16, 8, 8)
    context = torch.linspace(-1, 1, 320).view(1, 5, 64)
    inputs = {"context": context, "y": torch.ones(1, 64), "guidance": torch.full((1,), 3.5)}
    return runnable.denoise(x, torch.full((1,), 0.7), inputs)


def held_bytes(network: nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in [*network.parameters(), *network.buffers()])


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_same_bits_in_half_the_memory(flux_pair: tuple[Path, Path], precision: Precision) -> None:
    eight, wide = (load_diffusion_model(path) for path in flux_pair)
    memories = [memory_of(precision=precision) for _ in range(2)]
    outputs = [predicted(model, memory) for model, memory in zip((eight, wide), memories, strict=True)]
    # Where a tensor begins in memory decides which of two ways of adding float32 products is taken.
    torch.testing.assert_close(*outputs, rtol=0, atol=0 if precision == "bf16" else 1e-5)
    small, large = (memory.loaded_bytes() for memory in memories)
    width = 2 if precision == "bf16" else 4
    assert small < large / width * 1.1
    assert small == held_bytes(eight.ready(memories[0]).network)
    factors = sum(name.endswith("scale_weight") for name in eight.ready(memories[0]).network.state_dict())
    assert eight.weights.size_hint(memories[0].dtype(Part.DIFFUSION)) == small - 4 * factors


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_rounded_to_eight_bits_stay_so(family_checkpoint: Callable[[str], Path], dtype: torch.dtype) -> None:
    whole = load_checkpoint(family_checkpoint("flux")).model
    rounded, memory = stored_as(whole, dtype), memory_of()
    cast = memory_of()
    network = rounded.ready(memory).network
    assert held_weight(network.get_submodule(QKV.removesuffix(".weight"))).dtype == dtype
    at_once = rounded.weights.materialise(torch.device("cpu"), torch.bfloat16)
    assert torch.equal(predicted(rounded, memory), denoised(RunnableModel(at_once, rounded.sampling)))
    predicted(whole, cast)
    assert memory.loaded_bytes() < 0.55 * cast.loaded_bytes()


def test_text_models_keep_their_eight_bits(flux_pair: tuple[Path, Path]) -> None:
    texts = [load_checkpoint(path).clip for path in flux_pair]
    encoded = []
    for clip in texts:
        assert isinstance(clip, TextEncoder)
        memory = configure_memory(DevicePolicy(device="cpu", force="fp32"))
        encoded.append((encode_prompt(clip, "a (red:1.3) cube"), memory.loaded_bytes()))
        t5 = memory.module(clip.parts["t5xxl"].weights, Part.TEXT)
        if clip is texts[0]:
            assert isinstance(t5.get_submodule("shared"), EightBitEmbedding)
            assert isinstance(t5.get_submodule("encoder.block.0.layer.0.SelfAttention.q"), EightBitLinear)
    (eight, small), (wide, large) = encoded
    assert eight[0].tokens is not None
    assert wide[0].tokens is not None
    assert torch.equal(eight[0].tokens, wide[0].tokens)
    assert small < 0.3 * large


def test_patches_change_the_numbers_and_only_their_weights_grow(flux_pair: tuple[Path, Path]) -> None:
    eight, wide = (load_diffusion_model(path) for path in flux_pair)
    patch = AddDifference(torch.linspace(-0.01, 0.01, 768 * 256).view(768, 256), 0.5)
    memory = memory_of()
    predicted(eight, memory)
    alone = memory.loaded_bytes()
    changed = eight.with_patches({QKV: patch})
    assert torch.equal(predicted(changed, memory), predicted(wide.with_patches({QKV: patch}), memory_of()))
    assert memory.loaded_bytes() == alone + 768 * 256 * 2
    assert held_weight(changed.ready(memory).network.get_submodule(QKV.removesuffix(".weight"))).dtype == torch.bfloat16
    assert torch.equal(predicted(eight, memory), predicted(wide, memory_of()))


def test_differences_are_added_to_the_numbers_that_a_file_stands_for(flux_pair: tuple[Path, Path]) -> None:
    eight, wide = (load_diffusion_model(path) for path in flux_pair)
    added = [AddWeight(model.weights.source, QKV).apply(torch.zeros(768, 256)) for model in (eight, wide)]
    assert torch.equal(*added)


@pytest.mark.parametrize("part_of_size", [0.0, 0.7])
def test_streamed_blocks_are_eight_bits_wide(flux_pair: tuple[Path, Path], part_of_size: float) -> None:
    eight, wide = (load_diffusion_model(path) for path in flux_pair)
    size = eight.weights.size_hint(torch.bfloat16)
    memory = memory_of(model_bytes=int(size * part_of_size))
    network = eight.ready(memory).network
    assert any(tensor.is_meta for tensor in network.buffers())
    expected = predicted(wide, memory_of())
    for _ in range(2):
        assert torch.equal(predicted(eight, memory), expected)
    wide_memory = memory_of(model_bytes=int(size * part_of_size))
    predicted(wide, wide_memory)
    assert memory.loaded_bytes() < 0.55 * wide_memory.loaded_bytes()


def test_streamed_text_models_run(flux_pair: tuple[Path, Path]) -> None:
    eight, wide = (load_checkpoint(path).clip for path in flux_pair)
    assert eight is not None
    assert wide is not None
    configure_memory(DevicePolicy(device="cpu", force="fp32", model_bytes=1))
    streamed = encode_prompt(eight, "a cube")[0].tokens
    configure_memory(DevicePolicy(device="cpu", force="fp32"))
    whole = encode_prompt(wide, "a cube")[0].tokens
    assert streamed is not None
    assert whole is not None
    assert torch.equal(streamed, whole)


def test_weights_are_packed_where_there_is_room_and_stay_small_elsewhere(flux_pair: tuple[Path, Path]) -> None:
    eight = load_diffusion_model(flux_pair[0])
    wide_size = eight.weights.size_hint(torch.bfloat16, widened=True)
    roomy, tight = memory_of(packed=True, model_bytes=wide_size), memory_of(packed=True, model_bytes=wide_size - 1)
    packed, small = (predicted(eight, memory) for memory in (roomy, tight))
    assert roomy.loaded_bytes() == wide_size
    assert tight.loaded_bytes() < 0.6 * wide_size
    assert float((packed - small).abs().max()) < 0.05 * float(small.abs().max())
    # A clone is laid out as its relative, with which it shares, even where both would not fit anew.
    clone = eight.with_patches({QKV: AddDifference(torch.ones(768, 256), 0.1)})
    whole = replace(roomy.policy, model_bytes=wide_size + 768 * 256 * 2 + wide_size)
    memory = ModelMemory(whole)
    held = [memory.module(each.weights, Part.DIFFUSION) for each in (eight, clone)]
    assert not any(isinstance(module, EightBitLinear) for network in held for module in network.modules())
    assert memory.loaded_bytes() == wide_size + 768 * 256 * 2


def test_a_state_dict_is_that_of_the_file(flux_pair: tuple[Path, Path]) -> None:
    eight = load_diffusion_model(flux_pair[0])
    in_file = {n.removeprefix("model.diffusion_model."): t for n, t in load_file(flux_pair[0]).items()}
    state = eight.ready(memory_of(precision="fp32")).network.state_dict()
    for name, tensor in state.items():
        if name.endswith("scale_weight") or is_matrix(name, tensor):
            assert tensor.dtype == in_file[name].dtype
            assert torch.equal(tensor.float(), in_file[name].float())


def test_compiled_blocks_cast_in_the_same_way(flux_pair: tuple[Path, Path]) -> None:
    eight = load_diffusion_model(flux_pair[0])
    expected = predicted(eight, memory_of(precision="fp32"))
    compiled = eight.with_preparation(lambda network: compile_blocks(network, backend="eager"))
    torch.testing.assert_close(predicted(compiled, memory_of(precision="fp32")), expected)


def test_a_convolution_of_eight_bits(family_checkpoint: Callable[[str], Path]) -> None:
    model = stored_as(load_checkpoint(family_checkpoint("sd1")).model, FP8)
    inputs = torch.linspace(-1, 1, 256).view(1, 4, 8, 8), torch.full((1,), 3.0), torch.ones(1, 7, 64)
    small = memory_of(precision="fp32").module(model.weights, Part.DIFFUSION)
    with torch.inference_mode():
        whole: nn.Module = model.weights.materialise(torch.device("cpu"), torch.float32)
        assert torch.equal(small(*inputs), whole(*inputs))
    assert held_weight(small.get_submodule("out.2")).dtype == FP8


def test_a_network_of_eight_bit_layers_alone_still_tells_its_precision(tmp_path: Path) -> None:
    def read() -> dict[str, Tensor]:
        return {"0.weight": torch.eye(4).to(FP8), "1.weight": torch.eye(4).to(FP8)}

    def build() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))

    shapes = {"0.weight": (4, 4), "1.weight": (4, 4)}
    weights = Weights(build, TensorSource(read, shapes, eight_bit=shapes), "a test")
    network = memory_of().module(weights, Part.DIFFUSION)
    assert next(network.parameters()).dtype == torch.bfloat16
    assert isinstance(network[1], EightBitLinear)
    assert torch.equal(network(torch.ones(1, 4).bfloat16()), torch.ones(1, 4).bfloat16())


def test_a_policy_has_models_of_wider_files_held_in_eight_bits(
    family_checkpoint: Callable[[str], Path], flux_pair: tuple[Path, Path]
) -> None:
    policy = DevicePolicy(
        device="cpu", force="fp32", packed=False, diffusion_storage="fp8_e5m2", text_storage="fp8_e4m3fn"
    )
    memory, checkpoint = ModelMemory(policy), load_checkpoint(family_checkpoint("flux"))
    rounded = stored_as(checkpoint.model, torch.float8_e5m2)
    assert torch.equal(predicted(checkpoint.model, memory), predicted(rounded, memory_of(precision="fp32")))
    alone = memory.loaded_bytes()
    assert alone < 0.3 * checkpoint.model.weights.size_hint(torch.float32)
    clone = checkpoint.model.with_patches({QKV: AddDifference(torch.ones(768, 256), 0.1)})
    predicted(clone, memory)
    assert memory.loaded_bytes() == alone + 768 * 256 * 4
    assert checkpoint.clip is not None
    t5 = memory.module(checkpoint.clip.parts["t5xxl"].weights, Part.TEXT)
    assert held_weight(t5.get_submodule("shared")).dtype == torch.float8_e4m3fn
    # What has 8 bits already stays as it is, and what is saved stays as in its file.
    eight = load_diffusion_model(flux_pair[0])
    assert held_weight(eight.ready(memory).network.get_submodule("img_in")).dtype == FP8
    assert checkpoint.model.weights.source.dtype(QKV) == torch.float16
