"""MotionDirector's numbers, compared: what `check_relatives.py motiondirector FOLDER` runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from comparing import AFTER, CALL, CLOSE, GRADIENT, LOSS, SAMPLER, SHARE, Check, difference
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.bundle import IVGModel
from ivg_core.models.lora import LoRA, applied_lora, lora_sites
from ivg_core.models.text import encode_text
from ivg_core.models.told import Told
from ivg_core.sampling.generate import Sampling, denoise, generate
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.noise import mix_noise
from ivg_core.sampling.solver import make_inverse
from ivg_core.training.batches import Batch
from ivg_core.training.config import LoRASettings, TrainConfig, TrainingPath
from ivg_core.training.objective import Denoising, Draw, PathDraw
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import Trained, train

ROLES = ("spatial", "temporal")


class MotionDirector:
    """A folder of MotionDirector's numbers.

    Args:
        folder: with md_meta.json, md_io.safetensors, model/, lora/, train/.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.meta: dict[str, Any] = json.loads((folder / "md_meta.json").read_text())
        self.io = load_file(folder / "md_io.safetensors")
        self.model = load_model(folder / "model")

    def checks(self) -> Iterator[Check]:
        """All of them."""
        for part in (self.network, self.several_adapters, self.inversion, self.priors, self.text, self.sampling):
            yield from part()
        for run in self.meta["runs"]:
            yield from self.training(run)

    @torch.no_grad()
    def ask(self, sample: str, count: int | None = None, parity: bool = False) -> Tensor:
        """The network's answer to one of the folder's inputs."""
        unet: Any = self.model.unet
        unet.parity = parity
        try:
            return unet(self.io[sample], self.io["timestep"], self.io["ehs"][:count])
        finally:
            unet.parity = False

    def network(self) -> Iterator[Check]:
        unet: Any = self.model.unet
        for role in ROLES:
            same = list(lora_sites(unet, [role])) == self.meta[f"{role}_order"]
            yield Check(f"order of the {role} layers", 0.0 if same else 1.0, 0.0)
        yield difference(self.ask("sample"), self.io["out_base"], "network", CALL)
        yield difference(self.ask("sample_odd", 1), self.io["out_base_odd"], "network, another size", CALL)
        yield from self.one_frame("network", "out_base")
        lists = {role: self.released(role) for role in ROLES}
        for spatial, temporal in self.meta["scales"]:
            name, tag = f"spatial {spatial}, temporal {temporal}", f"out_s{spatial}_t{temporal}"
            with applied_lora(unet, lists["spatial"], spatial), applied_lora(unet, lists["temporal"], temporal):
                yield difference(self.ask("sample"), self.io[tag], name, CALL)
                yield from self.one_frame(name, tag)

    def one_frame(self, name: str, tag: str) -> Iterator[Check]:
        for parity, end in ((True, "_1f"), (False, "_1f_gc")):
            said = f"{name}, one frame{'' if parity else ', recomputed'}"
            yield difference(self.ask("sample_1f", 1, parity), self.io[tag + end], said, CALL)

    def released(self, role: str, folder: str = "lora/checkpoint-*", adapter: int | None = None) -> LoRA:
        """A list of the folder as a LoRA."""
        unet: Any = self.model.unet
        return read_lora(next(self.folder.glob(f"{folder}/{role}/lora/*.pt")), unet, adapter=adapter)

    def several_adapters(self) -> Iterator[Check]:
        unet: Any = self.model.unet
        mixed = self.meta["multi_mix_scales"]
        count = len(mixed)
        wanted = {str(k): {k: 1.0} for k in (0, count - 1)} | {
            "".join(map(str, range(count))): dict.fromkeys(range(count), 1.0),
            "mix": dict(enumerate(mixed)),
        }
        for tag, strengths in wanted.items():
            with ExitStack() as stack:
                for k, strength in strengths.items():
                    lora = self.released("spatial", f"lora/multi{count}", k + 1)
                    stack.enter_context(applied_lora(unet, lora, strength))
                yield difference(self.ask("sample"), self.io[f"multi_out_{tag}"], f"adapters {tag}", CALL)

    @torch.no_grad()
    def inversion(self) -> Iterator[Check]:
        for tag, prompt in (("inv_traj", ""), ("inv_traj_prompted", self.meta["inv_prompted"])):
            solver = make_inverse(self.model.scheduler_config, len(self.meta["inv_timesteps"]))
            same = solver.timesteps.tolist() == self.meta["inv_timesteps"]
            yield Check(f"inversion {tag}, timesteps", 0.0 if same else 1.0, 0.0)
            told = Told(encode_text(self.model, [prompt]))
            ask, path = Guided(UNetBackbone(self.model, 2), [(1.0, told)]), []

            def predict(latents: Tensor, *rest: Any, ask: Any = ask, path: list[Tensor] = path) -> Tensor:
                path.append(latents)
                return ask(latents, *rest)

            path.append(denoise(predict, solver, self.io["clip_latents"]))
            yield difference(torch.stack(path), self.io[tag], f"inversion {tag}", SAMPLER)

    def priors(self) -> Iterator[Check]:
        inverted = self.io["inv_traj"][-1]
        for tag in ("same", "resized", "batch2"):
            given, noise = self.meta[f"prior_{tag}"], self.io[f"prior_{tag}_noise"]
            mixed = mix_noise(inverted[0], noise, given["noise_prior"])
            yield difference(mixed, self.io[f"prior_{tag}"], f"noise prior {tag}", CALL)

    @torch.no_grad()
    def text(self) -> Iterator[Check]:
        prompts = self.meta["prompts"]
        yield difference(encode_text(self.model, prompts["ehs"]), self.io["ehs"], "text", CALL)
        yield difference(encode_text(self.model, [prompts["ehs_empty"]]), self.io["ehs_empty"], "empty text", CALL)

    def sampling(self) -> Iterator[Check]:
        unet: Any = self.model.unet
        lists = {role: self.released(role) for role in ROLES}
        for tag in ("t2v_base", "t2v_temporal", "t2v_both_neg"):
            run, start = self.meta[tag], self.io[self.meta[tag]["start"]]
            cell = self.model.vae_scale_factor
            height, width = start.shape[-2:]
            with (
                applied_lora(unet, lists["spatial"], run["spatial_scale"]),
                applied_lora(unet, lists["temporal"], run["temporal_scale"]),
            ):
                video = generate(
                    self.model,
                    None,
                    run["prompt"],
                    negative_prompt=run["negative"],
                    noise=start,
                    num_frames=start.shape[2],
                    size=(width * cell, height * cell),
                    how=Sampling(run["steps"], run["guidance"], solver="ddim", parity=True),
                )
            yield difference(video.latents, self.io[tag][-1], f"sampling {tag}", SAMPLER)
            shown = (video.frames * 255).round()[:: self.meta.get("frames_every", 1)]
            yield difference(shown, self.io[f"{tag}_frames"], f"sampling {tag}, grey levels", 1.0)

    def training(self, run: str) -> Iterator[Check]:
        """A training, replayed by the trainer with the folder's draws; its start, its losses, its end."""
        settings = self.meta["runs"][run]
        with tempfile.TemporaryDirectory() as out:
            replay = Replay(self, run)
            done = train(replay.config(out), replay.model, replay, objective=replay.objective)
            learned = self.learned(done, replay.adapters)
        theirs = settings["losses"]
        ours = [value for figures in done.history for value in replay.losses(figures)]
        same = len(ours) == len(theirs)
        off = max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) if same else float("inf")
        yield Check(f"{run}: {len(theirs)} losses", off, LOSS)
        for number, role in enumerate(role for role in ROLES if role in replay.first_gradients):
            found = replay.first_gradients[role]
            tags = [f"{run}.grad{number}.{i}" for i in range(len(found))]
            if tags[0] in self.io:
                off = max((a - self.io[tag]).abs().max().item() for a, tag in zip(found, tags, strict=True))
                yield Check(f"{run}: first {role} gradients", off, GRADIENT)
        yield from self.after(run, learned)

    def learned(self, done: Trained, adapters: int) -> dict[str, list[LoRA]]:
        """What a training learned by role, one LoRA an adapter."""
        unet: Any = self.model.unet
        assert done.lora is not None and done.path is not None
        own = [done.path.with_name(f"{done.path.stem}-clip-{k + 1}.safetensors") for k in range(adapters)]
        clips = [read_lora(path, unet) for path in own]
        found: dict[str, list[LoRA]] = {}
        for role in ROLES:
            sites = lora_sites(unet, [role])
            parts = [LoRA({n: lora.layers[n] for n in sites if n in lora.layers}) for lora in (done.lora, *clips)]
            found[role] = [part for part in parts if part.layers]
        return found

    def after(self, run: str, learned: dict[str, list[LoRA]]) -> Iterator[Check]:
        unet: Any = self.model.unet
        for role in ROLES:
            for path in self.folder.glob(f"train/{run}/{role}/lora/*.pt"):
                count = len(learned[role])
                theirs = [read_lora(path, unet, adapter=k + 1 if count > 1 else None) for k in range(count)]
                pairs = [
                    (a - b).abs().flatten()
                    for mine, its in zip(learned[role], theirs, strict=True)
                    for name in its.layers
                    for a, b in zip(mine.layers[name], its.layers[name], strict=True)
                ]
                far = 1 - (torch.cat(pairs) < CLOSE).float().mean().item()
                yield Check(f"{run}: share of the {role} entries beyond {CLOSE:g}", far, 1 - SHARE)
        only_spatial = not self.meta["runs"][run]["train_temporal_lora"]
        for tag, spatial in (("out_after", float(only_spatial)), ("out_after_spatial", 1.0)):
            if f"{run}.{tag}" not in self.io:
                continue
            # Its tool finds the last adapter of a layer only; the others keep their scale of 0.
            parts = [(lora, spatial) for lora in learned["spatial"][-1:]]
            parts += [(lora, 1.0) for lora in learned["temporal"]]
            with ExitStack() as stack:
                for lora, strength in parts:
                    stack.enter_context(applied_lora(unet, lora, strength))
                yield difference(self.ask("sample"), self.io[f"{run}.{tag}"], f"{run}: {tag}", AFTER)


class Replay:
    """A training of the folder as this library's: its clips, its settings, and an objective that draws what it drew.

    Args:
        golden: the folder.
        run: name of the training.
    """

    def __init__(self, golden: MotionDirector, run: str):
        self.golden, self.settings = golden, golden.meta["runs"][run]
        self.draws = iter(self.settings["draws"])
        self.clips = self.settings["clips"]
        self.adapters = 0 if self.settings["single_spatial_lora"] else self.clips
        self.first_gradients: dict[str, list[Tensor]] = {}
        self.start = {role: self.initial(role, run) for role in self.roles}
        self.model: IVGModel = replace(golden.model)
        self.begun = False
        self.samples = [self.sample(k) for k in range(self.clips)]

    @property
    def roles(self) -> tuple[str, ...]:
        return ROLES if self.settings["train_temporal_lora"] else ("spatial",)

    def initial(self, role: str, run: str) -> list[LoRA]:
        """What a training began with: of its own, or of the run that it shared it with."""
        unet: Any = self.golden.model.unet
        runs = [run, *(name.split(" ")[0] for name in self.golden.meta["init_files"][run].split(", ")), "one_clip"]
        folder = next(f"train/{name}" for name in runs if (self.golden.folder / f"train/{name}/init_{role}").is_dir())
        path = next(self.golden.folder.glob(f"{folder}/init_{role}/lora/*.pt"))
        count = max(1, self.adapters) if role == "spatial" else 1
        return [read_lora(path, unet, adapter=k + 1 if count > 1 else None) for k in range(count)]

    def config(self, out: str) -> TrainConfig:
        """Its settings in ours."""
        settings, rank = self.settings, self.settings["rank"]
        flip = max(0.0, settings["random_hflip_img"])
        paths = [TrainingPath({"noise": 1.0}, ["spatial"], frames="one", flip=flip, name="looks")]
        if settings["train_temporal_lora"]:
            paths[0].chance = 0.8
            paths.append(TrainingPath({"noise": 1.0, "debiased": 1.0}, ["temporal"], ["spatial"], name="motion"))
        own = {"spatial": bool(self.adapters), "temporal": False}
        return TrainConfig(
            out=out,
            steps=settings["steps"],
            learning_rate=settings["lr"],
            weight_decay=settings["weight_decay"],
            warmup=0,
            clip=0,
            device="cpu",
            checkpointing=settings["gradient_checkpointing"],
            parity=not settings["deferred_spatial_step"],
            lora={role: LoRASettings(rank, per_clip=own[role]) for role in self.roles},
            paths=paths,
            text_dropout=0,
            noise_offset=settings["offset_noise"],
        )

    # ------------------------------------------------------------ the clips, in the order in which they came

    def sample(self, k: int) -> Sample:
        golden = self.golden
        prompt = golden.meta["train_prompts"][k]
        with torch.no_grad():
            text = encode_text(golden.model, [prompt, ""])
        latents = golden.io[f"train_latents_{k}"][0]
        found: Any = {"latents": latents, "text": text[0], "empty_text": text[1], "caption": prompt, "name": str(k)}
        if self.settings["random_hflip_img"] > 0:  # the same picture in all frames
            pixels = golden.io["hflip_pixels_u8"][:1].permute(0, 2, 3, 1)
            found["frames"] = pixels.expand(latents.shape[1], -1, -1, -1)
        return found

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return [[k] for k in range(self.clips)]

    # ------------------------------------------------------------ what chance decided

    def objective(self, config: TrainConfig, backbone: Any) -> Denoising:
        """The product's objective, with the folder's draws."""
        replay = self

        class Recorded(Denoising):
            def draw(self, batch: Batch, rng: torch.Generator) -> Draw:
                return replay.draw(batch)

            def parts(self, network: Any, *rest: Any) -> Any:
                if not replay.begun:
                    replay.begin(network)
                return super().parts(network, *rest)

        backbone.network.parity = not config.checkpointing
        return Recorded(config, backbone)

    def next(self, kind: str) -> Any:
        drawn, value = next(self.draws)
        if drawn != kind:
            raise ValueError(f"the folder drew {drawn} where {kind} was asked for")
        return self.golden.io[value] if isinstance(value, str) else value

    def draw(self, batch: Batch) -> Draw:
        settings = self.settings
        temporal = settings["train_temporal_lora"]
        masked = self.next("uniform") < 0.2 and temporal
        noise = self.next("randn_like")
        if settings["offset_noise"]:
            noise = noise + settings["offset_noise"] * self.next("randn")
        level = torch.as_tensor(self.next("randint")).reshape(1).long()
        looks, motion = PathDraw(taken=not masked), PathDraw()
        if not masked:
            looks.frame = int(self.next("randint"))
            if self.next("uniform") < settings["random_hflip_img"]:
                looks.mirrored = self.next("randn"), self.next("randn_like")
        if temporal:
            motion.anchor = int(self.next("randint"))
        no = torch.zeros(1, dtype=torch.bool)
        return Draw(level, noise, no, no, [looks, motion] if temporal else [looks])

    def begin(self, learner: Any) -> None:
        """Gives the LoRA layers the folder's start, and keeps the first gradients."""
        self.begun = True
        for role in self.roles:
            for k, lora in enumerate(self.start[role]):
                clip = k if role == "spatial" and self.adapters else None
                parameters = []
                for site in lora.layers:
                    layer = learner.lora.layer(site, clip)
                    for half, value in zip((layer.up, layer.down), lora.layers[site], strict=True):
                        half.weight.data.copy_(value)
                        parameters.append(half.weight)
                if k == 0:
                    self.keep_first_gradients(role, parameters)

    def keep_first_gradients(self, role: str, parameters: list[Any]) -> None:
        kept: dict[int, Tensor] = {}

        def keep(index: int):
            def hook(gradient: Tensor) -> None:
                kept.setdefault(index, gradient.clone())
                if len(kept) == len(parameters):
                    self.first_gradients.setdefault(role, [kept[i] for i in range(len(parameters))])

            return hook

        for index, parameter in enumerate(parameters):
            parameter.register_hook(keep(index))

    def losses(self, figures: dict[str, float]) -> Iterator[float]:
        """A step's losses as the folder lists them."""
        if "looks_noise" in figures:
            yield figures["looks_noise"]
        if "motion_noise" in figures:
            yield figures["motion_noise"] + figures["motion_debiased"]
