"""Gen-L-Video's one-shot tuning, compared: training by the product's trainer, calls and long sampling afterwards."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from comparing import AFTER, CALL, CLOSE, GRADIENT, LOSS, SAMPLER, SHARE, Check, difference
from glv_steps import windowed_steps
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.checkpoints.load import load_model
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.bundle import IVGModel
from ivg_core.models.one_shot import OneShotUNet, VideoClips, with_clips
from ivg_core.models.text import encode_text
from ivg_core.models.told import Told
from ivg_core.sampling.solver import make_solver
from ivg_core.training.batches import Batch
from ivg_core.training.config import TrainConfig, read_config
from ivg_core.training.objective import Denoising, Draw, PathDraw
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import train

NORM = 1e-5  # of clipped norms
WEIGHTS, IO, META = "glv_oneshot.safetensors", "glv_io.safetensors", "glv_meta.json"
#: The recording's long sampling, which its meta does not tell: sentence, guidance; its steps are counted.
LONG = ("red glasses", 4.0)
CALLED = "night"


def checks(folder: Path) -> Iterator[Check]:
    """All of them; a folder without one-shot tuning has none, which is said."""
    if missing := [name for name in (WEIGHTS, IO, META, "sd1") if not (folder / name).exists()]:
        print(f"not in the folder, left out: {', '.join(missing)}, so one-shot tuning")
        return
    golden = OneShot(folder)
    reads = {
        golden.calls: ("one_x", "t"),
        golden.long: ("one_long_start", "one_long_steps"),
        golden.training: ("one_x", "t", "one_latents_0", "one_noise_0", "one_t_0"),
    }
    for part, names in reads.items():
        if missing := [name for name in names if name not in golden.io]:
            print(f"not in the folder, left out: {', '.join(missing)}")
        else:
            yield from part()


class OneShot:
    """A folder of Gen-L-Video's numbers.

    Args:
        folder: with glv_meta.json, glv_io.safetensors, glv_oneshot.safetensors, and the model of `sd1`.
    """

    def __init__(self, folder: Path):
        self.meta: dict[str, Any] = json.loads((folder / META).read_text())
        self.io, self.weights = load_file(folder / IO), load_file(folder / WEIGHTS)
        self.told = self.meta["one"]
        self.clips = VideoClips(self.told["clips"], self.told["stride"], self.told["window"])
        model = load_model(folder / "sd1")
        unet = with_clips(model.unet, self.clips, self.told["rank"])
        self.model = replace(model, unet=unet, defaults=replace(model.defaults, num_frames=self.clips.frames))

    def named(self, which: str) -> dict[str, Tensor]:
        """The weights of that name: `init`, `final`, or the gradients `grad0`."""
        return {name.removeprefix(f"{which}."): x for name, x in self.weights.items() if name.startswith(f"{which}.")}

    def tuned(self, *which: str) -> IVGModel:
        """The model with recorded weights, one set after the other."""
        unet = copy.deepcopy(self.model.unet)
        for one in which:
            assert not unet.load_state_dict(self.named(one), strict=False).unexpected_keys
        return replace(self.model, unet=unet)

    def said(self, *sentences: str) -> Tensor:
        """The text states (S, L, D) of sentences, by the folder's own text encoder."""
        return encode_text(self.model, sentences)

    @torch.no_grad()
    def calls(self) -> Iterator[Check]:
        """One call each, after the tuning; told that the clip begins at a frame, or not."""
        backbone = UNetBackbone(self.tuned("init", "final"), 2)
        for name in sorted(name for name in self.io if name.startswith("one_out_")):
            begins = name.removeprefix("one_out_")
            told = Told(self.said(CALLED), begins=None if begins == "None" else torch.tensor([int(begins)]))
            yield difference(backbone(self.io["one_x"], self.io["t"], told), self.io[name], name, CALL)

    @torch.no_grad()
    def long(self) -> Iterator[Check]:
        """A long video: each window hears the LoRA of its clip, and without the sentence none."""
        backbone = UNetBackbone(self.tuned("init", "final"), 2)
        expected, (sentence, scale) = self.io["one_long_steps"], LONG
        rungs = [
            (1.0, Told(self.said(""), begins=torch.tensor([-1]))),
            (scale, Told(self.said(sentence), begins=torch.tensor([0]))),
        ]
        solver = make_solver(self.model.scheduler_config, len(expected), "ddim")
        windows = {"w": self.clips.frames, "s": self.clips.stride}
        ours = windowed_steps(backbone, rungs, windows, solver, self.io["one_long_start"])
        yield difference(ours, expected, "one-shot: long steps", SAMPLER)

    # ------------------------------------------------------------ tuning

    def training(self) -> Iterator[Check]:
        """The recorded steps, replayed by the trainer."""
        replay = Replay(self)
        with tempfile.TemporaryDirectory() as out:
            done = train(replay.config(out), self.tuned("init"), replay, objective=replay.objective)
        for name, figure, allowed in (("loss", "noise", LOSS), ("norm", "grad_norm", NORM)):
            ours = [figures[figure] for figures in done.history]
            off = max(abs(a - b) for a, b in zip(ours, replay.events[name], strict=True))
            yield Check(f"one-shot: {len(ours)} steps: {name}", off, allowed)
        network: OneShotUNet = done.network
        yield Check("one-shot: what is trained", float(replay.trained != set(self.meta["one_trainable_all"])), 0.0)
        expected = self.named("grad0")
        yield Check("one-shot: what has a first gradient", float(replay.first.keys() != expected.keys()), 0.0)
        off = max((replay.first[name] - expected[name]).abs().max().item() for name in expected)
        yield Check(f"one-shot: {len(expected)} first gradients", off, GRADIENT)
        yield from self.after(network)

    @torch.no_grad()
    def after(self, network: OneShotUNet) -> Iterator[Check]:
        """What the recorded steps made of the network."""
        now, before = network.state_dict(), self.tuned("init").unet.state_dict()
        expected = self.named("final")
        off = torch.cat([(now[name] - x).abs().flatten() for name, x in expected.items()])
        yield Check("one-shot: share of weights that are off", (off > CLOSE).float().mean().item(), 1 - SHARE)
        moved = sum(not torch.equal(x, now[name]) for name, x in before.items() if name not in expected)
        yield Check("one-shot: frozen tensors that changed", float(moved), 0.0)
        theirs, ours = (
            UNetBackbone(replace(self.model, unet=u), 2) for u in (self.tuned("init", "final").unet, network)
        )
        for begins in (-1, *range(0, self.clips.count * self.clips.stride, self.clips.stride)):
            told = Told(self.said(CALLED), begins=torch.tensor([begins]))
            pair = [backbone(self.io["one_x"], self.io["t"], told) for backbone in (ours, theirs)]
            yield difference(*pair, f"one-shot: prediction after training, clip at {begins}", AFTER)


class Replay:
    """The recorded training as this library's: its clips, its settings, and an objective that draws what it drew."""

    def __init__(self, golden: OneShot):
        self.io, self.told, self.rate = golden.io, golden.told, golden.meta["one_lr_effective"]
        self.text, self.nothing = golden.said(self.told["prompt"])[0], golden.said("")[0]
        listed: dict[str, list[Any]] = {}
        for name, value in golden.meta["one_events"]:
            listed.setdefault(name, []).append(value)
        self.events, self.steps = listed, len(listed["loss"])
        kept, dropped = listed["choice"][::2], listed["choice"][1::2]  # in turn for text and clip
        self.drops = [(1 - torch.tensor(a) > 0, torch.tensor(b) > 0) for a, b in zip(kept, dropped, strict=True)]
        self.drawn = 0
        self.first: dict[str, Tensor] = {}
        self.trained: set[str] = set()

    def config(self, out: str) -> TrainConfig:
        """The preset, with what the recording changed."""
        changed = {
            "out": out,
            "clip_rank": 0,  # the network has them
            "steps": self.steps,
            "batch_size": self.told["batch"],
            "learning_rate": self.rate,
            "weight_decay": self.told["weight_decay"],
            "clip": self.told["max_grad_norm"],
            "precision": "fp32",
            "device": "cpu",
            "parity": True,
        }
        return read_config("one-shot", changed)

    def __len__(self) -> int:
        return self.steps * self.told["batch"]

    def __getitem__(self, index: int) -> Sample:
        step, row = divmod(index, self.told["batch"])
        return {
            "latents": self.io[f"one_latents_{step}"][row],
            "text": self.text,
            "empty_text": self.nothing,
            "caption": self.told["prompt"],
            "name": str(index),
            "begins": self.events["clip_id"][step][row],
        }

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return [list(range(i, i + batch_size)) for i in range(0, len(self), batch_size)]

    def objective(self, config: TrainConfig, backbone: Any) -> Denoising:
        """The product's objective, with the recorded draws."""
        replay = self

        class Recorded(Denoising):
            def draw(self, batch: Batch, rng: torch.Generator) -> Draw:
                return replay.draw()

            def parts(self, network: Any, *rest: Any) -> Any:
                totals, figures = super().parts(network, *rest)
                replay.keep(sum(totals), backbone.network)
                return totals, figures

        return Recorded(config, backbone)

    def draw(self) -> Draw:
        """What chance decided about the next step."""
        step, (no_text, no_clip) = self.drawn, self.drops[self.drawn]
        self.drawn += 1
        nothing = torch.zeros_like(no_text)
        levels, noise = self.io[f"one_t_{step}"], self.io[f"one_noise_{step}"]
        return Draw(levels, noise, no_text, nothing, [PathDraw()], drop_clip=no_clip)

    def keep(self, loss: Any, network: OneShotUNet) -> None:
        """What is trained, and the first step's gradients."""
        if self.first:
            return
        learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.trained = set(learned)
        gradients = torch.autograd.grad(loss, list(learned.values()), retain_graph=True, allow_unused=True)
        self.first = {name: g for name, g in zip(learned, gradients, strict=True) if g is not None}
