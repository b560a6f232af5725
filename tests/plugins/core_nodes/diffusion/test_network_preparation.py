"""What is done to networks as a whole: compiled blocks, and positions of patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.checkpoints import load_diffusion_model
from comfykernel_core_nodes.diffusion.compiled_regions import MARK, compile_blocks, repeated_blocks
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.flux import Flux, FluxConfig
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks
from comfykernel_core_nodes.diffusion.latent_formats import FLUX as FLUX_LATENTS
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.position_scaling import AxisChange, scale_positions
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights
from comfykernel_sdk.families import SamplingSpec

FLUX = FluxConfig(
    width=64, head_channels=32, hidden=128, double_blocks=2, single_blocks=3, context_width=16, vector_width=8
)


@pytest.fixture
def flux(weight: Callable[[str, Sequence[int]], Tensor]) -> Flux:
    network = Flux(FLUX)
    network.load_state_dict({name: weight(name, tensor.shape) for name, tensor in network.state_dict().items()})
    return network.requires_grad_(requires_grad=False).eval()


def predicted(network: nn.Module, data: Callable[[str, Sequence[int]], Tensor], hooks: Hooks = NO_HOOKS) -> Tensor:
    out: Tensor = network(
        data("x", (1, 16, 8, 6)), torch.tensor([0.5]), data("context", (1, 5, 16)), data("y", (1, 8)),
        torch.tensor([3.5]), references=[data("reference", (1, 16, 4, 4))], hooks=hooks,
    )  # fmt: skip
    return out


def test_repeated_blocks_of_a_transformer_are_the_elements_of_its_lists(flux: Flux) -> None:
    assert repeated_blocks(flux) == [*flux.double_blocks, *flux.single_blocks]


def test_a_compiled_handle_has_a_network_of_its_own(checkpoint_file: Path) -> None:
    model = load_diffusion_model(checkpoint_file)
    compiled = model.with_preparation(lambda network: compile_blocks(network, backend="eager"))
    memory = ModelMemory(DevicePolicy(device="cpu", force="fp32", packed=False))
    plain, own = model.ready(memory).network, compiled.ready(memory).network
    assert all(hasattr(block, MARK) for block in repeated_blocks(own))
    assert not any(hasattr(block, MARK) for block in repeated_blocks(plain))
    first = repeated_blocks(own)[0].forward
    assert repeated_blocks(compiled.ready(memory).network)[0].forward is first
    shared = dict(plain.named_parameters())
    assert all(tensor.data_ptr() == shared[name].data_ptr() for name, tensor in own.named_parameters())
    x, timesteps, context = torch.ones(1, 4, 8, 8), torch.tensor([500.0]), torch.ones(1, 7, 64)
    with torch.inference_mode():
        torch.testing.assert_close(own(x, timesteps, context), plain(x, timesteps, context))


def test_positions_are_scaled_and_moved(flux: Flux, data: Callable[[str, Sequence[int]], Tensor]) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in flux.state_dict().items()}
    weights: Weights[nn.Module] = Weights(lambda: flux, TensorSource(dict, shapes), "flux")
    model = DiffusionModel(weights, ModelSampling.of(SamplingSpec("flow")), FLUX_LATENTS, lambda _c, _r: {})

    def changed(**axes: AxisChange) -> Tensor:
        given = {"index": AxisChange(), "rows": AxisChange(), "columns": AxisChange(), **axes}
        return predicted(flux, data, scale_positions(model, **given).hooks)

    plain = predicted(flux, data)
    torch.testing.assert_close(changed(), plain)
    for axis in ("rows", "columns"):
        assert not torch.allclose(changed(**{axis: AxisChange(scale=0.5)}), plain, atol=1e-4)
        assert not torch.allclose(changed(**{axis: AxisChange(shift=2.5)}), plain, atol=1e-4)
    # All patches of a picture have one index: it can be moved, and there is nothing to scale.
    torch.testing.assert_close(changed(index=AxisChange(scale=3.0)), plain)
    assert not torch.allclose(changed(index=AxisChange(shift=9.5)), plain, atol=1e-4)


def test_a_model_without_rotations_stays_as_it_is(checkpoint_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = load_diffusion_model(checkpoint_file)
    axis = AxisChange(scale=2.0)
    assert scale_positions(model, index=axis, rows=axis, columns=axis) is model
    assert "has no rotations" in caplog.text
