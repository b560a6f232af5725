"""The networks of checkpoints against recorded numbers: tiny models, weights and inputs follow from their names."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderConfig, AutoencoderKL, autoencoder_config_from
from comfykernel_core_nodes.diffusion.clip_text import ClipTextConfig, ClipTextModel, clip_text_config_from
from comfykernel_core_nodes.diffusion.families import sd1
from comfykernel_core_nodes.diffusion.unet import UNet, UNetConfig, timestep_embedding, unet_config_from

TOLERANCE = 1e-4

SD1 = UNetConfig(model_channels=32, context_dim=64)
SD2 = replace(SD1, context_dim=96, num_heads=-1, num_head_channels=16, use_linear_in_transformer=True)
SDXL = UNetConfig(
    model_channels=32,
    num_res_blocks=(2, 2, 2),
    channel_mult=(1, 2, 4),
    transformer_depth=(0, 0, 1, 1, 2, 2),
    transformer_depth_output=(0, 0, 0, 1, 1, 1, 2, 2, 2),
    transformer_depth_middle=2,
    context_dim=128,
    num_heads=-1,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=1600,
)
REFINER = replace(
    SD2,
    context_dim=64,
    transformer_depth=(0, 0, 1, 1, 1, 1, 0, 0),
    transformer_depth_output=(0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0),
    adm_in_channels=1344,
)
INPAINT = replace(SD1, in_channels=9)
CONFIGS = {"sd1": SD1, "sd2": SD2, "sdxl": SDXL, "sdxl_refiner": REFINER, "sd1_inpaint": INPAINT}

VAE4 = AutoencoderConfig(channels=32)
VAE16 = AutoencoderConfig(channels=32, z_channels=16, quant_conv=False)
TEXT = ClipTextConfig(width=64, layers=4, heads=4, intermediate=128)


def data(key: str, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))


def weight(key: str, shape: Sequence[int]) -> Tensor:
    values = data(key, shape)
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:]))
    return 1.0 + 0.1 * values if key.endswith(("weight", "scale")) else 0.1 * values


def built(make: Callable[[], nn.Module], prefix: str) -> nn.Module:
    """The module, made without memory, with the weights that follow from its keys."""
    with torch.device("meta"):
        module = make()
    weights = {name: weight(prefix + name, tensor.shape) for name, tensor in module.state_dict().items()}
    module.load_state_dict(weights, assign=True)
    return module.eval().requires_grad_(False)


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def image(key: str, side: int) -> Tensor:
    """A smooth picture with a little noise, [1, 3, side, side] in -1..1."""
    noise = torch.rand((1, side, side, 3), generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    y = torch.linspace(0, 1, side).view(1, side, 1, 1)
    x = torch.linspace(0, 1, side).view(1, 1, side, 1)
    c = torch.arange(3.0).view(1, 1, 1, 3)
    smooth = 0.5 + 0.35 * torch.sin(5.0 * x + 2.0 * c) * torch.cos(4.0 * y - c)
    return (smooth + 0.15 * (noise - 0.5)).clamp(0, 1).movedim(-1, 1) * 2 - 1


def assert_recorded(values: Tensor, first: list[float], mean_abs: float) -> None:
    got = values.flatten()[: len(first)]
    torch.testing.assert_close(got, torch.tensor(first), rtol=TOLERANCE, atol=TOLERANCE)
    assert values.abs().mean().item() == pytest.approx(mean_abs, abs=TOLERANCE)


@dataclass(frozen=True)
class Run:
    """A forward pass and what was recorded of its output."""

    model: str
    case: str
    size: tuple[int, int]
    timestep: float
    tokens: int
    first: list[float]
    mean_abs: float


RUNS = [
    Run("sd1", "8x8", (8, 8), 500.0, 77, [-0.30507, -0.8442, 0.25556, 0.18001, 0.10508, 0.85148], 0.480898),
    Run("sd1", "odd_13x11", (13, 11), 700.0, 77, [-0.19928, -0.13389, 0.01203, -0.21752, -0.26773], 0.492426),
    Run("sd2", "frac_t", (16, 16), 37.625, 13, [-0.38124, -0.56205, 0.00149, -0.16235, -0.43232], 0.471103),
    Run("sdxl", "8x8", (8, 8), 500.0, 77, [-0.01183, -0.26043, -0.19227, -0.04726, 0.60479], 0.456341),
    Run("sdxl_refiner", "odd_13x11", (13, 11), 700.0, 77, [-0.1904, -0.06102, -0.3336, -0.13251], 0.466756),
    Run("sd1_inpaint", "8x8", (8, 8), 500.0, 77, [-0.08995, 0.19952, 0.09928, 0.35551, 0.02425], 0.465965),
]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.model}-{run.case}")
def test_unet_gives_the_recorded_numbers(run: Run) -> None:
    config = CONFIGS[run.model]
    unet = built(lambda: UNet(config), "model.diffusion_model.")
    name = f"{run.model}_unet"
    x = data(f"{name}/x/{run.case}", (1, config.in_channels, *run.size))
    context = data(f"{name}/context/{run.case}", (1, run.tokens, config.context_dim))
    label = config.adm_in_channels and data(f"{name}/y/{run.case}", (1, config.adm_in_channels))
    out = unet(x, torch.tensor([run.timestep]), context, label)
    assert out.shape == (1, config.out_channels, *run.size)
    assert_recorded(out, run.first, run.mean_abs)


def test_unet_without_its_label_says_what_it_needs() -> None:
    unet = UNet(replace(SDXL, transformer_depth=(0,) * 6, transformer_depth_output=(0,) * 9))
    with pytest.raises(ValueError, match=r"y of shape \[batch, 1600\]"):
        unet(torch.zeros(1, 4, 8, 8), torch.zeros(1), torch.zeros(1, 1, 128))


def test_timestep_embedding_has_cosines_first() -> None:
    embedding = timestep_embedding(torch.tensor([0.0, 1.0]), 4)
    assert embedding[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert embedding[1].tolist() == pytest.approx([math.cos(1), math.cos(0.01), math.sin(1), math.sin(0.01)])


@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(),
        SD1,
        INPAINT,
        replace(SD2, num_head_channels=64),
        SDXL,
        replace(REFINER, num_head_channels=64),
        UNetConfig(
            model_channels=64,
            num_res_blocks=(1, 1, 1),
            channel_mult=(1, 1, 2),
            transformer_depth=(0, 1, 1),
            transformer_depth_output=(0, 0, 1, 1, 1, 1),
            context_dim=64,
        ),
    ],
)
def test_unet_configuration_is_read_from_shapes(config: UNetConfig) -> None:
    with torch.device("meta"):
        assert unet_config_from(shapes_of(UNet(config))) == config


@pytest.mark.parametrize("config", [AutoencoderConfig(), VAE4, VAE16, replace(VAE4, channel_mult=(3, 2, 2, 3))])
def test_autoencoder_configuration_is_read_from_shapes(config: AutoencoderConfig) -> None:
    with torch.device("meta"):
        assert autoencoder_config_from(shapes_of(AutoencoderKL(config))) == config


@pytest.mark.parametrize(
    "config", [ClipTextConfig(), replace(TEXT, heads=1), replace(TEXT, heads=1, projection_dim=32)]
)
def test_text_configuration_is_read_from_shapes(config: ClipTextConfig) -> None:
    with torch.device("meta"):
        assert clip_text_config_from(shapes_of(ClipTextModel(config))) == config


def test_autoencoder_gives_the_recorded_numbers() -> None:
    codec = built(lambda: AutoencoderKL(VAE4), "first_stage_model.")
    latent = codec.encode(image("vae/img/32x32", 32))
    assert latent.shape == (1, 4, 4, 4)
    assert_recorded(latent, [-0.61776, -0.15142, -0.08163, -0.65336, 0.09891, 0.5911], 0.336793)
    decoded = codec.decode(data("vae/lat4/8x5", (2, 4, 8, 5)))
    assert decoded.shape == (2, 3, 64, 40)
    assert_recorded(decoded, [0.26827, 0.18714, 0.15036, 0.10097, 0.26899, 0.39342], 0.417793)


def test_autoencoder_without_quantising_convolutions_gives_the_recorded_numbers() -> None:
    codec = built(lambda: AutoencoderKL(VAE16), "first_stage_model.")
    latent = codec.encode(image("vae/img/32x32", 32))
    assert_recorded(latent, [0.05184, -0.33132, -0.35231, -0.46295, -0.77767, 0.65197], 0.379175)


@pytest.fixture(scope="module")
def text_model() -> nn.Module:
    return built(lambda: ClipTextModel(TEXT), "te.clip_l.transformer.text_model.")


def test_text_model_gives_the_recorded_numbers(text_model: nn.Module) -> None:
    ids = sd1.tokenize(["a photo of a cat"])
    last = text_model(ids)
    assert_recorded(last.hidden, [1.32469, -0.86775, 0.36247, -1.42067, -0.50719, -0.42595], 0.783966)
    assert_recorded(last.pooled, [0.72762, 0.07611, -1.10393, -0.11511, -0.69918, 0.83222], 0.778479)
    earlier = text_model(ids, layer=-2)
    assert_recorded(earlier.hidden, [0.8681, -0.846, -0.27273, -0.53496, 0.03474, -0.27471], 0.776763)
    assert torch.equal(earlier.pooled, last.pooled)


def test_text_model_takes_rows_instead_of_ids(text_model: nn.Module) -> None:
    ids = sd1.tokenize(["a cat"])
    rows = text_model.embed(ids)
    assert torch.equal(text_model(ids, rows=rows).hidden, text_model(ids).hidden)
    rows[0, 2] += 1
    changed = (text_model(ids, rows=rows).hidden - text_model(ids).hidden).abs().amax(dim=2)[0]
    assert changed[:2].max() == 0, "what comes before a token cannot see it"
    assert changed[2:].min() > 0


def test_text_model_without_final_norm_gives_the_layer_itself(text_model: nn.Module) -> None:
    ids = sd1.tokenize(["a cat"])
    plain = text_model(ids, layer=-2, final_norm=False).hidden
    normed = text_model(ids, layer=-2).hidden
    torch.testing.assert_close(text_model.final_layer_norm(plain), normed)


@pytest.mark.parametrize("layer", [0, -5, 3])
def test_text_model_refuses_layers_it_does_not_have(text_model: nn.Module, layer: int) -> None:
    with pytest.raises(ValueError, match="between -4 and -1"):
        text_model(sd1.tokenize([""]), layer=layer)
