"""SMCD's numbers, compared: what `check_relatives.py smcd FOLDER` runs."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from comparing import AFTER, CALL, GRADIENT, LOSS, SAMPLER, Check, difference
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from ivg_core.checkpoints.layout import read_layout
from ivg_core.checkpoints.load import load_component
from ivg_core.checkpoints.lora_keys import modelscope_name
from ivg_core.checkpoints.original import SCHEDULER
from ivg_core.checkpoints.tokenizer import clip_files, load_tokenizer
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.bundle import IVGModel
from ivg_core.models.told import Told
from ivg_core.models.unet import IVGUNet
from ivg_core.sampling.generate import denoise
from ivg_core.sampling.guidance import AsCoded, Guided
from ivg_core.sampling.solver import make_solver
from ivg_core.training.batches import Batch
from ivg_core.training.config import TrainConfig
from ivg_core.training.objective import Denoising, Draw, PathDraw
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import train

NORM, RELATIVE = 1e-5, 1e-4  # of clipped norms, and of the norm of each tensor's gradient
DROPPED = (0.1, 0.25, 0.1)  # below which a draw leaves out boxes, photo, and what the gates see of it


def told(io: dict[str, Tensor], text: str = "text", things: int | None = None, **changed: Tensor | None) -> Told:
    """What the folder's calls tell the network."""
    boxes = torch.cat([io["boxes"], io["masks"][..., None]], dim=-1)  # (B, F, N, 5)
    values = {"photo": io["first_latent"][:, :, None], "boxes": boxes, "phrases": io["positive_embeddings"]}
    if things is not None:
        values |= {name: values[name][:, :, :things] for name in ("boxes", "phrases")}
    return Told(io[text], **(values | changed))


class SMCD:
    """A folder of SMCD's numbers; what it does not hold is left out, and named.

    Args:
        folder: with smcd_meta.json, smcd_io.safetensors, and a checkpoint-* folder in the released layout.
    """

    def __init__(self, folder: Path):
        self.meta: dict[str, Any] = json.loads((folder / "smcd_meta.json").read_text())
        self.io = load_file(folder / "smcd_io.safetensors")
        layout = read_layout(sorted(folder.glob("checkpoint-*"))[0])
        self.unet: IVGUNet = load_component(layout, "unet", torch.float32, "cpu")

    def checks(self) -> Iterator[Check]:
        """All of them."""
        for part in (self.tokens, self.calls, self.sampling, self.training):
            yield from part()

    def holds(self, *names: str) -> bool:
        """Whether the folder has these tensors; says so if it does not."""
        if missing := [name for name in names if name not in self.io]:
            print(f"not in the folder, left out: {', '.join(missing)}")
        return not missing

    @torch.no_grad()
    def tokens(self) -> Iterator[Check]:
        whole, net = told(self.io), self.unet.position_net
        yield difference(net(whole.boxes, whole.phrases), self.io["grounding_tokens"], "tokens of boxes", CALL)
        absent = net(torch.zeros_like(whole.boxes), whole.phrases)
        yield difference(absent, self.io["grounding_tokens_null"], "tokens of absent things", CALL)
        seen = self.unet.visual_encoder(self.io["first_latent"])
        yield difference(seen, self.io["visual_tokens"], "tokens of the photo", CALL)

    def ladders(self) -> dict[str, Told]:
        """What the network is told in each of its calls, by name of the result."""
        io, photo = self.io, self.io["first_latent"][:, :, None]
        nothing = torch.zeros_like(photo)
        found = {
            "unet_full": told(io),
            "unet_null_boxes": told(io, boxes=torch.zeros_like(told(io).boxes)),
            "unet_zero_image": told(io, photo=nothing, seen=photo),
            "unet_zero_image_and_tokens": told(io, photo=nothing),
            "unet_null_text": told(io, "null_text"),
            "unet_no_grounding": told(io, boxes=None, phrases=None),
        }
        counts = (name.split("_")[1] for name in io if name.startswith("unet_") and name.endswith("_objects"))
        return found | {f"unet_{count}_objects": told(io, things=int(count)) for count in counts}

    @torch.no_grad()
    def calls(self) -> Iterator[Check]:
        ask = self.backbone(self.unet)
        for name, what in self.ladders().items():
            if self.holds(name):
                yield difference(ask(self.io["xt"], self.io["t"], what), self.io[name], name, CALL)

    def backbone(self, unet: IVGUNet) -> UNetBackbone:
        return UNetBackbone(bare_model(unet), 2)

    @torch.no_grad()
    def sampling(self) -> Iterator[Check]:
        if not self.holds("sample_noise"):
            return
        run = self.meta["sample"]
        ladder = [(1.0, told(self.io, "null_text")), (float(run["guidance"]), told(self.io))]
        backbone = self.backbone(self.unet)
        plain = Guided(backbone, ladder)
        if self.holds("sample_steps"):
            path = self.path(plain, run["steps"], self.meta["sample_timesteps"])
            yield difference(path, self.io["sample_steps"], f"{run['steps']} steps", SAMPLER)
        if self.holds("sample6_last"):  # asked for 6 steps it takes 7; ours takes 6
            timesteps = self.meta["sample6_timesteps_reference"]
            path = self.path(plain, 6, timesteps)
            yield difference(path[-1], self.io["sample6_last"], f"{len(timesteps)} steps for 6", SAMPLER)
        if self.holds("sample_imgfree_as_coded_last"):
            more = self.meta["sample_imgfree"]
            ladder[1] = (float(more["guidance"]), ladder[1][1])
            coded = AsCoded(backbone, ladder, self.ladders()["unet_zero_image"], float(more["img_free"]))
            path = self.path(coded, run["steps"], self.meta["sample_timesteps"])
            yield difference(path[-1], self.io["sample_imgfree_as_coded_last"], "guided by the photo, coded", SAMPLER)

    def path(self, predict: Guided, steps: int, timesteps: list[int]) -> Tensor:
        """The latents after each step at these timesteps (N, B, 4, F, h, w)."""
        solver = make_solver(SCHEDULER, steps, "ddim")
        solver.timesteps = torch.tensor(timesteps)
        found: list[Tensor] = []

        def ask(latents: Tensor, *rest: Any) -> Tensor:
            found.append(latents)
            return predict(latents, *rest)

        found.append(denoise(ask, solver, self.io["sample_noise"]))
        return torch.stack(found[1:])

    # ------------------------------------------------------------ stage 2

    def training(self) -> Iterator[Check]:
        """Stage 2, replayed by the trainer with the folder's draws."""
        if "train" not in self.meta:
            print("not in the folder, left out: the training")
            return
        replay = Replay(self)
        with tempfile.TemporaryDirectory() as out:
            done = train(replay.config(out), bare_model(self.unet), replay, objective=replay.objective)
        events = {kind: [value for event, value in self.meta["train"]["events"] if event == kind] for kind in KINDS}
        for name, figure, allowed in (("loss", "noise", LOSS), ("norm", "grad_norm", NORM)):
            ours = [figures[figure] for figures in done.history]
            off = max(abs(a - b) for a, b in zip(ours, events[name], strict=True))
            yield Check(f"{len(ours)} steps: {name}", off, allowed)
        yield Check("what is trained", float(replay.trained != set(self.meta["trainable"])), 0.0)
        stats, norms = self.meta["grad_stats"][0], replay.norms[0]
        off = max(abs(norm - stats[name][0]) for name, norm in norms.items())
        yield Check("norms of the first gradients", off, GRADIENT)
        names = [name for name in self.io if name.startswith("grad0.")]
        pairs = [(replay.first[name.removeprefix("grad0.")], self.io[name]) for name in names]
        off = max((ours - theirs.reshape(ours.shape)).abs().max().item() for ours, theirs in pairs)
        yield Check(f"{len(names)} first gradients", off, GRADIENT)
        yield from self.after(replay)

    @torch.no_grad()
    def after(self, replay: Replay) -> Iterator[Check]:
        before, names = self.unet.state_dict(), replay.names
        now = replay.network.state_dict()
        frozen = [key for key in before if names[key] not in replay.trained]
        moved = sum(not torch.equal(before[key], now[key]) for key in frozen)
        yield Check(f"{len(frozen)} frozen tensors that changed", float(moved), 0.0)
        norms = {names[key]: tensor.double().norm().item() for key, tensor in now.items()}
        theirs = self.meta["final_stats"]
        yield Check("norms afterwards", max(abs(norms[name] - theirs[name][1]) for name in theirs), RELATIVE)
        ours = self.backbone(replay.network)(self.io["xt"], self.io["t"], told(self.io))
        yield difference(ours, self.io["out_after"], "prediction afterwards", AFTER)


KINDS = ("loss", "norm")


def bare_model(unet: IVGUNet) -> IVGModel:
    """A model around a network, whose other parts are never asked."""
    text = CLIPTextModel(CLIPTextConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1))
    tokenizer = load_tokenizer(clip_files(), "CLIP")
    return IVGModel(unet, None, AutoencoderKL(), text, tokenizer, dict(SCHEDULER), name="smcd")


class Replay:
    """The folder's training as this library's: its clips, its settings, and an objective that draws what it drew."""

    def __init__(self, golden: SMCD):
        self.io, self.settings = golden.io, golden.meta["train"]
        self.names = {key: name_there(key, golden.unet) for key in golden.unet.state_dict()}
        self.first: dict[str, Tensor] = {}
        self.norms: list[dict[str, float]] = []
        self.trained: set[str] = set()
        self.network: IVGUNet = golden.unet

    def config(self, out: str) -> TrainConfig:
        """Its settings in ours."""
        settings = self.settings
        return TrainConfig(
            out=out,
            method="full",
            trainable=["photo"],
            steps=settings["steps"],
            batch_size=settings["batch"],
            learning_rate=settings["lr"],
            weight_decay=settings["weight_decay"],
            clip=settings["max_grad_norm"],
            warmup=0,
            device="cpu",
            losses={"noise": 1.0},
        )

    def __len__(self) -> int:
        return self.settings["steps"] * self.settings["batch"]

    def __getitem__(self, index: int) -> Sample:
        step, row = divmod(index, self.settings["batch"])
        given = {name: self.io[f"train_{name}_{step}"][row] for name in GIVEN}
        boxes = torch.cat([given["boxes"], given["masks"][..., None]], dim=-1)
        found: Any = {"latents": given["latents"], "text": given["y"], "empty_text": given["y"], "boxes": boxes}
        return found | {"phrases": given["positive_embeddings"], "caption": "", "name": str(index)}

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return [list(range(i, i + batch_size)) for i in range(0, len(self), batch_size)]

    def objective(self, config: TrainConfig, backbone: Any) -> Denoising:
        """The product's objective, with the folder's draws."""
        replay = self
        replay.network = backbone.network

        class Recorded(Denoising):
            def draw(self, batch: Batch, rng: torch.Generator) -> Draw:
                return replay.draw(len(replay.norms), len(batch["name"]))

            def parts(self, network: Any, *rest: Any) -> Any:
                totals, figures = super().parts(network, *rest)
                replay.keep(sum(totals))
                return totals, figures

        return Recorded(config, backbone)

    def draw(self, step: int, count: int) -> Draw:
        noise, levels = self.io[f"train_noise_{step}"], self.io[f"train_t_{step}"]
        no, yes = torch.zeros(count, dtype=torch.bool), torch.ones(count, dtype=torch.bool)
        dropped = [
            yes if drawn < rate else no for drawn, rate in zip(self.settings["draws"][step], DROPPED, strict=True)
        ]
        return Draw(levels, noise, no, no, [PathDraw()], *dropped)

    def keep(self, loss: Any) -> None:
        """The gradients of a step, by the names that they have there."""
        learned = {self.names[key]: p for key, p in self.network.named_parameters() if p.requires_grad}
        self.trained = set(learned)
        gradients = torch.autograd.grad(loss, list(learned.values()), retain_graph=True, allow_unused=True)
        found = {name: g for name, g in zip(learned, gradients, strict=True) if g is not None}
        self.first = self.first or found
        self.norms.append({name: math.sqrt(g.double().square().sum().item()) for name, g in found.items()})


GIVEN = ("latents", "y", "boxes", "masks", "positive_embeddings")


def name_there(key: str, unet: IVGUNet) -> str:
    """What the folder calls a weight of ours."""
    if key.startswith(("visual_encoder.", "position_net.")):
        return key
    layer, leaf = key.rsplit(".", 1)
    return "unet." + f"{modelscope_name(layer, unet)}.{leaf}".replace(".fuser.", ".gate_attn.")
