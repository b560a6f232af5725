"""Options of nodes: each choice, the ends of each range, other sizes and batches; what is said of the impossible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import DiffusionError
from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.nodes import InputSpec, NodeSpec
from comfykernel_sdk.testing import run_node

NODES = core_pack().nodes
MADE: Final = {"IMAGE", "MASK", "LATENT", "SIGMAS"}
WIDGETS: Final = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}

# Defaults of these would make large pictures or long schedules; every node takes them.
SMALL: Final = {"width": 64, "height": 64, "target_width": 40, "target_height": 24, "steps": 5, "largest_size": 33}
SMALL_PARTS: Final = {"megapixels": 0.01, "tile_width": 64, "tile_height": 64, "length": 9, "longer_edge": 33}
DEFAULTS: Final[Mapping[str, Any]] = {**SMALL, **SMALL_PARTS, "sigmas": "3, 2, 0"}
# Ranges whose upper end is a matter of memory alone end here.
LARGEST: Final = 70
# Nodes that take what a picture holds as a text, or need files.
LEFT_OUT: Final = {"Painter", "LoadImageOutput"}


def _inputs(spec: NodeSpec) -> list[InputSpec]:
    return [each for each in spec.inputs if each.group != "hidden"]


def _is_swept(spec: NodeSpec) -> bool:
    kinds = {each.type for each in _inputs(spec)}
    filed = any(each.source is not None for each in spec.inputs)
    makes = {each.type for each in spec.outputs}
    return kinds <= MADE | WIDGETS and bool(makes & MADE) and not filed and spec.id not in LEFT_OUT


SWEPT = sorted(id for id, definition in NODES.items() if _is_swept(definition.spec) and not definition.spec.output_node)


def _default(each: InputSpec) -> Any:
    options = each.options or {}
    if each.name in DEFAULTS and each.type != "COMBO":
        return DEFAULTS[each.name]
    return options.get("default", each.choices[0] if each.choices else options.get("min", "text"))


def _values(each: InputSpec) -> list[Any]:
    """Each choice, or the ends of a range and zero."""
    if each.choices is not None:
        return list(each.choices)
    if each.type == "BOOLEAN":
        return [False, True]
    if each.type not in ("INT", "FLOAT"):
        return []
    options: Mapping[str, Any] = each.options or {}
    least, most = options.get("min", 0), options.get("max", LARGEST)
    most = most if each.name == "seed" or most <= LARGEST else max(least, LARGEST)
    if each.name in ("megapixels", "scale_by"):
        most = 2 * DEFAULTS["megapixels"] if each.name == "megapixels" else 1.37
    return sorted({least, most, *([0] if least < 0 < most else [])})


class Sockets:
    """Values of sockets: pictures of a size and batch, and the masks and latents of other sizes beside them."""

    def __init__(self, tensor: Callable[..., Tensor], image: Callable[..., Tensor]) -> None:
        self._tensor, self._image = tensor, image

    def value(self, each: InputSpec, *, odd: bool) -> Any:
        """A value for a socket; odd: three pictures of odd sizes with an opacity, one mask of another size."""
        if each.type == "IMAGE":
            return self._image(each.name, 3, 17, 23, 4) if odd else self._image(each.name, 1, 24, 20)
        if each.type == "MASK":
            return self._tensor(each.name, (3, 9, 11) if odd else (1, 24, 20)).sigmoid()
        if each.type == "LATENT":
            mask = {"noise_mask": torch.ones(1, 1, 40, 56), "batch_index": [4, 5, 6]} if odd else {}
            return {"samples": self._tensor(each.name, (3, 4, 5, 7) if odd else (1, 4, 8, 8)), **mask}
        return torch.tensor([3.0, 0.0] if odd else [14.6, 5.0, 1.0, 0.3, 0.0])


@pytest.fixture(scope="module")
def sockets(normal_tensor: Callable[..., Tensor], wavy_image: Callable[..., Tensor]) -> Sockets:
    return Sockets(normal_tensor, wavy_image)


def _cases(spec: NodeSpec) -> Iterator[tuple[dict[str, Any], bool]]:
    """The changes from the defaults, and whether the sockets carry the odd values."""
    yield {}, False
    yield {}, True
    for each in _inputs(spec):
        for value in _values(each):
            yield {each.name: value}, False
            if each.choices is not None:
                yield {each.name: value}, True


def _tensors(value: object) -> Iterator[Tensor]:
    for each in value.values() if isinstance(value, Mapping) else [value]:
        if isinstance(each, Tensor):
            yield each


def _assert_well_formed(kind: str, value: object) -> None:
    for each in _tensors(value):
        assert each.dtype == torch.float32
        assert bool(torch.isfinite(each).all())
        assert each.ndim == {"IMAGE": 4, "MASK": 3, "SIGMAS": 1}.get(kind, each.ndim)
        assert kind != "IMAGE" or each.shape[-1] in (3, 4)


def _output(id: str, **given: Any) -> Any:
    return run_node(NODES[id], **given).output


def _outputs(id: str, given: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The outputs of a node, each with its socket; none where it says that it can't."""
    try:
        outputs: list[Any] = list(run_node(NODES[id], **given).outputs)
    except (BadInput, DiffusionError):
        return []
    kinds = NODES[id].spec.outputs
    pairs = zip(kinds, outputs, strict=True)
    return [(kind.type, each) for kind, value in pairs for each in (value if kind.is_list else [value])]


@pytest.mark.parametrize("id", SWEPT)
def test_every_option_gives_what_its_socket_promises_or_says_why_not(id: str, sockets: Sockets) -> None:
    spec = NODES[id].spec
    for changes, odd in _cases(spec):
        given = {each.name: _default(each) for each in _inputs(spec) if each.type not in MADE}
        given |= {each.name: sockets.value(each, odd=odd) for each in _inputs(spec) if each.type in MADE}
        given |= changes
        before = [(each, each.clone()) for value in given.values() for each in _tensors(value)]
        for kind, value in _outputs(id, given):
            _assert_well_formed(kind, value)
        assert all(torch.equal(each, copy) for each, copy in before), f"{id} changed what it was given"


SQUARE: Final = torch.zeros(1, 4, 4, 3)
# What a change of a model is tried with; compiling takes too long, and layers are named by numbers.
COMPILED: Final = {"TorchCompileModel"}
LAYERS: Final = {"layers": "0, 1", "double_layers": "0", "single_layers": "0"}


def _changes_a_model(spec: NodeSpec) -> bool:
    kinds = {each.type for each in _inputs(spec)}
    filed = any(each.source is not None for each in spec.inputs)
    made = [each.type for each in spec.outputs]
    models = sum(each.type == "MODEL" for each in spec.inputs)
    return models == 1 and kinds <= WIDGETS | {"MODEL"} and made == ["MODEL"] and not filed


PATCHES = sorted(id for id, definition in NODES.items() if _changes_a_model(definition.spec) and id not in COMPILED)


class Sampled:
    """A tiny model, and what a step makes with what became of it."""

    def __init__(self, model: DiffusionModel, tensor: Callable[..., Tensor]) -> None:
        self.model = model
        self.positive = [Conditioning(tensor("positive", (1, 77, 64)))]
        self.negative = [Conditioning(tensor("negative", (1, 77, 64)))]

    def __call__(self, model: DiffusionModel, positive: list[Conditioning] | None = None) -> Tensor:
        done = _output(
            "KSampler", model=model, seed=3, steps=1, cfg=2.0, sampler_name="euler", scheduler="simple",
            positive=positive or self.positive, negative=self.negative, denoise=1.0,
            latent_image={"samples": torch.zeros(1, 4, 8, 8)},
        )  # fmt: skip
        samples: Tensor = done["samples"]
        return samples


@pytest.fixture
def sampled(tiny_checkpoint: Path, normal_tensor: Callable[..., Tensor]) -> Sampled:
    return Sampled(load_checkpoint(tiny_checkpoint).model, normal_tensor)


def test_changes_of_a_model_give_numbers_at_both_ends_of_their_ranges(sampled: Sampled) -> None:
    for id in PATCHES:
        inputs = _inputs(NODES[id].spec)
        for end in (0, -1):
            given: dict[str, Any] = {"model": sampled.model}
            for each in inputs[1:]:
                values = _values(each)
                given[each.name] = LAYERS.get(each.name, values[end] if values else _default(each))
            for _, changed in _outputs(id, given):
                assert isinstance(changed, DiffusionModel)
                assert bool(torch.isfinite(sampled(changed)).all()), (id, given)


def test_an_area_beyond_the_latent_covers_nothing(sampled: Sampled) -> None:
    other = [Conditioning(sampled.negative[0].tokens * 2)]
    place = {"width": 64, "height": 64, "x": 4096, "y": 0, "strength": 1.0}
    beyond = _output("ConditioningSetArea", conditioning=other, **place)
    assert torch.equal(sampled(sampled.model, [*sampled.positive, *beyond]), sampled(sampled.model))


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"])
def test_frames_of_a_film_are_resized_as_single_latents_are(method: str, normal_tensor: Callable[..., Tensor]) -> None:
    film = normal_tensor("film", (2, 4, 3, 5, 7))
    resized = _output("LatentUpscaleBy", samples={"samples": film}, upscale_method=method, scale_by=1.5)["samples"]
    frame = _output("LatentUpscaleBy", samples={"samples": film[:, :, 1]}, upscale_method=method, scale_by=1.5)[
        "samples"
    ]
    torch.testing.assert_close(resized[:, :, 1], frame)


def test_films_are_repeated_and_pasted(normal_tensor: Callable[..., Tensor]) -> None:
    film = normal_tensor("film", (1, 4, 3, 8, 8))
    repeated = _output("RepeatLatentBatch", samples={"samples": film}, amount=2)["samples"]
    assert torch.equal(repeated, torch.cat([film, film]))
    pasted = _output("LatentCompositeMasked", destination={"samples": torch.zeros_like(film)}, source={"samples": film},
        x=0, y=0, resize_source=False, mask=torch.ones(1, 4, 4),
    )["samples"]  # fmt: skip
    assert torch.equal(pasted, film)


@pytest.mark.parametrize(
    ("id", "given", "told"),
    [
        ("SamplerDPMPP_SDE", {"eta": 1.0, "s_noise": 1.0, "r": 0.0, "noise_device": "cpu"}, "r is 0"),
        ("ImageYUVToRGB", {"Y": SQUARE, "U": torch.zeros(1, 4, 5, 3), "V": SQUARE}, "sizes"),
        (
            "LatentComposite",
            {
                "samples_to": {"samples": torch.zeros(1, 4, 8, 8)},
                "samples_from": {"samples": torch.zeros(3, 4, 8, 8)},
                "x": 0, "y": 0, "feather": 0,
            },
            "[3, 4, 8, 8]",
        ),
        (
            "LTXVScheduler",
            {"steps": 4, "max_shift": 100.0, "base_shift": 100.0, "stretch": True, "terminal": 0.1},
            "every level",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(id: str, given: Mapping[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as caught:
        run_node(NODES[id], **given)
    assert told in str(caught.value)


def test_playground_latents_are_for_models_with_four_channels(sampled: Sampled) -> None:
    wide = sampled.model.latent_format.__class__(channels=16)
    model = sampled.model.__class__(**{**vars(sampled.model), "latent_format": wide})
    with pytest.raises(BadInput, match="16 channels"):
        _output("ModelSamplingContinuousEDM", model=model, sampling="edm_playground_v2.5", sigma_max=120.0,
            sigma_min=0.002,
        )  # fmt: skip
