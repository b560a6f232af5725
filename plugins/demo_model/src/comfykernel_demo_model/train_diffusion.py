"""Second stage of training: the UNet and the text encoder together, on encoded scenes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from tqdm import tqdm

from comfykernel_demo_model.drawing import PLACES, Scene, all_scenes, phrase
from comfykernel_demo_model.networks import FAMILY, Networks
from comfykernel_demo_model.pictures import draw_latents
from comfykernel_demo_model.progress import SAVE_EVERY, learning_rate, load_state, save_state, set_learning_rate
from comfykernel_demo_model.schedule import TIMESTEPS, signal_levels

# Share of pictures that are shown with the empty prompt, for classifier-free guidance.
EMPTY_PROMPTS = 0.1

# Deviation of the noise that is added to a whole channel: without it flat backgrounds keep the mean colour, because
# the schedule leaves some signal at its end.
OFFSET_NOISE = 0.15

# Weights of the squared error of the noise, by the signal-to-noise ratio: less for easy steps (min-SNR, Hang et al.
# 2023), more where the layout is decided (truncated SNR, Salimans and Ho 2022, section 4), within a limit.
MAX_SNR = 5.0
MAX_WEIGHT = 4.0

# A part of the timesteps (Stage.layout_every) is drawn from the noisiest ones, where nothing but the prompt tells the
# place. There the weight is that of an error of the picture, not of the noise (1 / ratio), within a limit: else places
# are never learned.
LAYOUT_TIMESTEP = 800
MAX_LAYOUT_WEIGHT = 64.0

EMA_DECAY = 0.998
GRADIENT_NORM = 1.0

# Weights of what the hints add to the loss (see Hints).
COORDINATES_WEIGHT = 0.2
PLACE_WEIGHT = 0.05
OBJECT_WEIGHT = 0.5

TOKEN_DEVIATION = 0.3
POSITION_DEVIATION = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the run at one picture size."""

    name: str
    side: int
    batch: int
    steps: int
    peak_rate: float
    last_rate: float
    """Final learning rate as a fraction of the peak."""
    warm_up: int
    layout_every: int
    """One picture in so many is shown at the noisiest timesteps: often to learn places, seldom to learn outlines."""


class Hints(nn.Module):
    """Three linear readers, for training only, that make networks show what places need.

    One reads the coordinates of each pixel from the UNet's middle: convolutions can know them, from the zeros beyond
    the rim (Islam et al. 2020), but have no reason to before they know the prompt's place. One reads the place from the
    prompt's last token, of which the same is true the other way round. The third reads from the middle where the
    object will be, for which the UNet has to bring both together.
    """

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.features = torch.empty(0)
        middle = networks.unet.middle_block
        channels = middle[0].out_layers[3].out_channels
        self.coordinates = nn.Conv2d(channels, 2, 1)
        self.places = nn.Linear(networks.text_encoder.config.width, len(PLACES))
        self.object = nn.Conv2d(channels, 1, 1)
        middle.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, arguments: object, output: Tensor) -> None:
        self.features = output

    def forward(self, hidden: Tensor, places: Tensor, latents: Tensor) -> Tensor:
        """Loss for the last forward pass, its text encoding, the index of each place (-100: not said) and its aim."""
        read = self.coordinates(self.features).float()
        rows, columns = (torch.linspace(-1, 1, size) for size in read.shape[2:])
        wanted = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand_as(read)
        error = functional.mse_loss(read, wanted)
        confusion = functional.cross_entropy(self.places(hidden[:, -1]).float(), places, reduction="sum") / len(places)
        there = functional.adaptive_avg_pool2d(object_mask(latents), read.shape[2:])
        missed = functional.binary_cross_entropy_with_logits(self.object(self.features).float(), there)
        return COORDINATES_WEIGHT * error + PLACE_WEIGHT * confusion + OBJECT_WEIGHT * missed


def object_mask(latents: Tensor) -> Tensor:
    """Where latents [batch, channels, height, width] differ from their corner: 0..1, [batch, 1, height, width]."""
    distance = (latents - latents[:, :, :1, :1]).norm(dim=1, keepdim=True)
    return distance / distance.amax((2, 3), keepdim=True).clamp(min=1e-3)


class Learner(nn.Module):
    """What is trained: the UNet, the text encoder's layers, and the rows of the tokens that the language uses."""

    used: Tensor
    """Sorted ids of the tokens of the language; `rows` has a row for each."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.unet = networks.unet
        self.text_encoder = networks.text_encoder
        self.register_buffer("used", used_tokens())
        embeddings = self.text_encoder.embeddings
        nn.init.normal_(embeddings.position_embedding.weight, std=POSITION_DEVIATION)
        embeddings.token_embedding.weight.requires_grad_(False).zero_()
        self.rows = nn.Parameter(torch.randn(len(self.used), embeddings.token_embedding.embedding_dim))
        self.rows.data *= TOKEN_DEVIATION
        self.hints = Hints(networks)

    def context(self, ids: Tensor) -> Tensor:
        """Conditioning [batch, tokens, width] of token ids [batch, tokens] out of `used`."""
        hidden: Tensor = self.text_encoder(ids, rows=self.rows[torch.searchsorted(self.used, ids)]).hidden
        return hidden

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The predicted noise, and the text encoding."""
        hidden = self.context(ids)
        return self.unet(latents, timesteps, hidden), hidden


def used_tokens() -> Tensor:
    """Sorted ids of all tokens that the language can produce."""
    rng = random.Random(0)
    texts = {phrase(scene, rng) for scene in all_scenes() for _ in range(12)}
    return torch.unique(FAMILY.tokenize([*sorted(texts), ""]))


def trained(learner: Learner) -> list[nn.Parameter]:
    """The parameters that are optimised, in a fixed order."""
    return [parameter for parameter in learner.parameters() if parameter.requires_grad]


@dataclass(slots=True)
class Run:
    """A training run: the learner, its moving average, the optimizer and how far each stage has come."""

    learner: Learner
    work: Path
    seed: int
    optimizer: torch.optim.Optimizer = field(init=False)
    average: list[Tensor] = field(init=False)
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parameters = trained(self.learner)
        self.optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.99), weight_decay=1e-2, fused=True)
        self.average = [parameter.detach().clone() for parameter in parameters]
        state = load_state(self.path)
        if state is not None:
            self.learner.load_state_dict(state["learner"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
            self.done = state["done"]

    @property
    def path(self) -> Path:
        """The file with the state."""
        return self.work / "diffusion.pt"

    def save(self) -> None:
        """Write the state."""
        state = {
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "done": self.done,
        }
        save_state(self.path, state)

    def update_average(self) -> None:
        """Move the average towards the weights; faster in the beginning."""
        steps = sum(self.done.values())
        decay = min(EMA_DECAY, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for average, parameter in zip(self.average, trained(self.learner), strict=True):
                average.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def averaged(self) -> None:
        """Put the average into the networks, and the rows of the used tokens into the text encoder."""
        for average, parameter in zip(self.average, trained(self.learner), strict=True):
            parameter.copy_(average)
        table = self.learner.text_encoder.embeddings.token_embedding.weight
        table[self.learner.used] = self.learner.rows


def train_stage(run: Run, stage: Stage) -> None:
    """Train one stage to its end, from where it was."""
    first = run.done.get(stage.name, 0)
    scenes = [scene for scene in all_scenes() if not scene.held_out]
    bar = tqdm(range(first, stage.steps), initial=min(first, stage.steps), total=stage.steps, desc=stage.name)
    smooth = 0.0
    for step in bar:
        rate = learning_rate(step, stage.steps, peak=stage.peak_rate, warm_up=stage.warm_up, last=stage.last_rate)
        set_learning_rate(run.optimizer, rate)
        loss = train_step(run, scenes, stage, random.Random(f"{stage.name}/{run.seed}/{step}"))
        smooth = loss if step == first else smooth * 0.98 + loss * 0.02
        run.done[stage.name] = step + 1
        run.update_average()
        bar.set_postfix(loss=f"{smooth:.4f}")
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == stage.steps:
            run.save()


def train_step(run: Run, scenes: list[Scene], stage: Stage, rng: random.Random) -> float:
    """One optimisation step on newly drawn scenes; returns the loss."""
    chosen = rng.choices(scenes, k=stage.batch)
    texts = [phrase(scene, rng) if rng.random() >= EMPTY_PROMPTS else "" for scene in chosen]
    latents = draw_latents(chosen, stage.side, rng)
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    names = list(PLACES)
    said = [names.index(scene.place) if text else -100 for scene, text in zip(chosen, texts, strict=True)]
    noisiest = torch.arange(stage.batch) % stage.layout_every == 0
    loss = diffusion_loss(run.learner, latents, FAMILY.tokenize(texts), torch.tensor(said), noisiest, generator)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained(run.learner), GRADIENT_NORM)
    run.optimizer.step()
    return loss.item()


def diffusion_loss(
    learner: Learner, latents: Tensor, ids: Tensor, places: Tensor, noisiest: Tensor, generator: torch.Generator
) -> Tensor:
    """Squared error of the predicted noise (Ho et al. 2020, equation 14), weighted, and the loss of the hints.

    `noisiest` [batch] says which pictures are shown at the noisiest timesteps.
    """
    batch, channels = latents.shape[:2]
    timesteps = torch.randint(TIMESTEPS, (batch,), generator=generator)
    timesteps = torch.where(
        noisiest, LAYOUT_TIMESTEP + timesteps * (TIMESTEPS - LAYOUT_TIMESTEP) // TIMESTEPS, timesteps
    )
    level = signal_levels()[timesteps].view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator)
    noise += OFFSET_NOISE * torch.randn((batch, channels, 1, 1), generator=generator)
    noisy = level.sqrt() * latents + (1 - level).sqrt() * noise
    with torch.autocast("cpu", torch.bfloat16):
        predicted, hidden = learner(noisy.to(memory_format=torch.channels_last), timesteps.float(), ids)
        hints = learner.hints(hidden, places, latents)
    ratio = level / (1 - level)
    limit = torch.where(noisiest, MAX_LAYOUT_WEIGHT, MAX_WEIGHT).view(-1, 1, 1, 1)
    weight = torch.minimum(MAX_SNR / ratio, torch.minimum((1 / ratio).clamp(min=1), limit))
    loss: Tensor = ((predicted.float() - noise).square() * weight).mean() + hints
    return loss
