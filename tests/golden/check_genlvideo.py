"""Gen-L-Video's numbers, compared: what `check_relatives.py genlvideo FOLDER` runs."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from comparing import CALL, SAMPLER, Check, difference
from glv_steps import inverted, ladder, schedule_of, windowed_steps
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.checkpoints.load import load_model
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled
from ivg_core.models.text import encode_text
from ivg_core.models.told import Told
from ivg_core.sampling.beside import depth_beside, masked_beside
from ivg_core.sampling.context import spans
from ivg_core.sampling.generate import denoise
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.solver import make_inverse, make_solver
from ivg_core.sampling.windowed import Stacked, told_in

GREY = 1.0  # of decoded frames 0..255
HALF = 1e-3  # of the largest value, where a tensor is stored in 16 bits
#: Every so many of the decoded frames were kept, as the recording's README says.
KEPT = {"mix": 3, "ctl": 4}


class GenLVideo:
    """A folder of Gen-L-Video's numbers; what it does not hold is left out, and named.

    Args:
        folder: with glv_meta.json, glv_io.safetensors, and the networks of `sd1`, `sd2_depth` and `sd2_inpaint`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.meta: dict[str, Any] = json.loads((folder / "glv_meta.json").read_text())
        self.io = load_file(folder / "glv_io.safetensors")
        self.backbone = cache(self._backbone)

    def checks(self) -> Iterator[Check]:
        """All of them."""
        parts = (self.text, self.calls, self.depth, self.mix, self.inversion, self.control, self.inpainting, self.both)
        with torch.no_grad():
            for part in parts:
                yield from part()

    def holds(self, *names: str, folder: str = "sd1") -> bool:
        """Whether the folder has these tensors, and the networks; says so if it does not."""
        missing = [name for name in names if name not in self.io]
        missing += [name for name in (folder,) if not (self.folder / name).is_dir()]
        if missing:
            print(f"not in the folder, left out: {', '.join(missing)}")
        return not missing

    def _backbone(self, name: str = "sd1") -> UNetBackbone:
        """Of the folder's network of that name, and all else of `sd1`, as a user would load it."""
        with tempfile.TemporaryDirectory() as path:
            shutil.copytree(self.folder / "sd1", path, dirs_exist_ok=True, copy_function=shutil.copyfile)
            unet = self.folder / name / "unet"
            shutil.copytree(unet, Path(path) / "unet", dirs_exist_ok=True, copy_function=shutil.copyfile)
            return UNetBackbone(load_model(path), 2)

    def part(self, name: str) -> dict[str, Any]:
        """Windows, steps and guidance of a part of the recording, and its sentences."""
        return self.meta["params"][name] | self.meta.get(name, {})

    def said(self, *sentences: str) -> Tensor:
        """The text states (S, L, D) of sentences, by the folder's own text encoder."""
        return encode_text(self.backbone("sd1").model, sentences)

    def grey(self, backbone: UNetBackbone, latents: Tensor, name: str) -> Check:
        """Kept frames, decoded."""
        frames = backbone.codec.decode(latents)[0, :: KEPT[name]] * 255  # (f, H, W, 3)
        shown = self.io[f"{name}_video_u8"].permute(1, 2, 3, 0)
        return difference(frames.round(), shown, f"{name}: decoded frames", GREY)

    def text(self) -> Iterator[Check]:
        """What the sentences are to the network."""
        if self.holds("text_table"):
            yield difference(self.said(*self.meta["text_table"]), self.io["text_table"], "text_table", CALL)

    def calls(self) -> Iterator[Check]:
        """One call of the network each; the timestep is one for all."""
        asked = {"wota": ("x", ("", "night")), "wota_1f": ("x", ("snow",)), "wota_odd": ("x_odd", ("snow",))}
        for name, (given, sentences) in asked.items():
            if self.holds(name, given):
                expected = self.io[name]
                clip = self.io[given][: len(sentences), :, : expected.shape[2]]
                ours = self.backbone("sd1")(clip, self.io["t"], Told(self.said(*sentences)))
                yield difference(ours, expected, name, CALL)

    # ------------------------------------------------------------ several sentences, with depth

    def depth(self) -> Iterator[Check]:
        """Depth maps as the network reads them."""
        if self.holds("depth_map_u8", "mix_depth_latent"):
            cells = self.io["mix_depth_latent"].shape[-2:]
            ours = depth_beside(self.io["depth_map_u8"].float() / 255, *cells)
            yield difference(ours, self.io["mix_depth_latent"], "mix: depth", CALL)

    def mix(self) -> Iterator[Check]:
        """Co-denoising: each window its sentence."""
        if not self.holds("mix_start", "mix_depth_latent", "mix_steps", folder="sd2_depth"):
            return
        part, backbone = self.part("mix"), self.backbone("sd2_depth")
        windows, depth = spans(part["T"], part["w"], part["s"]), self.io["mix_depth_latent"]
        text, config = self.said(*part["prompts"]), backbone.model.scheduler_config

        def rungs(count: int) -> list[tuple[float, Told]]:
            schedule = schedule_of(count, part["T"], "reference" if count > 1 else "centre")
            return ladder(text[:count], self.said("")[0], depth, part["g"], schedule, windows)

        (_, below), (_, above) = several = rungs(len(text))
        if self.holds("mix_window_text"):
            told = [torch.cat([told_in(rung, window).text for rung in (below, above)]) for window in windows]
            yield difference(torch.stack(told), self.io["mix_window_text"], "mix: text of each window", CALL)
        solver = make_solver(config, part["steps"], "ddim")
        yield Check("mix: timesteps", float(solver.timesteps.tolist() != part["timesteps"]), 0.0)
        steps = windowed_steps(backbone, several, part, solver, self.io["mix_start"])
        yield difference(steps, self.io["mix_steps"], "mix: steps", SAMPLER)
        if self.holds("mix_video_u8"):
            yield self.grey(backbone, steps[-1], "mix")
        if self.holds("single_prompt_last"):
            solver = make_solver(config, part["steps"], "ddim")
            last = windowed_steps(backbone, rungs(1), part, solver, self.io["mix_start"])[-1]
            yield difference(last, self.io["single_prompt_last"], "mix: one sentence", SAMPLER)
        if self.holds("mix_l2_last"):
            stacked, solver = Stacked(windows, smooth=True), make_solver(config, part["steps"], "ddim")
            predict = Guided(backbone, [(scale, stacked.told(told)) for scale, told in several])
            last = denoise(predict, solver, stacked.cut(self.io["mix_start"]), after=stacked)
            yield difference(stacked.join(last), self.io["mix_l2_last"], "mix: drawn together", SAMPLER)

    def inversion(self) -> Iterator[Check]:
        """From clean latents to noise."""
        if not self.holds("inv_start", "inv_long"):
            return
        part, backbone = self.part("inv"), self.backbone("sd1")
        solver = make_inverse(backbone.model.scheduler_config, part["steps"])
        yield Check("inv: timesteps", float(solver.timesteps.tolist() != self.meta["inv_timesteps"]), 0.0)
        steps = windowed_steps(backbone, [(1.0, Told(self.said("")))], part, solver, self.io["inv_start"])
        chosen = torch.stack([steps[i - 1] for i in self.meta["inv_long_index"]])
        yield difference(chosen, self.io["inv_long"], "inv: steps", SAMPLER)

    # ------------------------------------------------------------ video to video, with a ControlNet

    def edges(self) -> Tensor:
        """The control video (1, 3, T, H, W)."""
        return (self.io["ctl_edges_u8"].float() / 255).expand(-1, 3, -1, -1).transpose(0, 1)[None]

    def control(self) -> Iterator[Check]:
        """A ControlNet by itself, with the network, and in a video made of a video."""
        names = ("ctl_edges_u8", "ctl_start_latents", "ctl_inverted", "ctl_steps")
        if not self.holds(*names, folder="sd1/controlnet"):
            return
        part, backbone, edges = self.part("ctl"), self.backbone("sd1"), self.edges()
        net = load_control_net(self.folder / "sd1" / "controlnet")
        controlled, start = Controlled(backbone, net, part["scale"]), self.io["ctl_start_latents"]
        if self.holds("ctl_mid", "ctl_unet_out"):
            clip, seen = start[:, :, : part["w"]], edges[:, :, : part["w"]]
            added = net(clip, self.io["t"], self.said("night"), seen, part["scale"])
            for i, residual in enumerate(added.down):
                if self.holds(name := f"ctl_down_{i}"):
                    allowed = max(CALL, HALF * float(self.io[name].abs().max()))
                    yield difference(residual.transpose(0, 1)[None], self.io[name], name, allowed)
            yield difference(added.mid.transpose(0, 1)[None], self.io["ctl_mid"], "ctl_mid", CALL)
            ours = controlled(clip, self.io["t"], Told(self.said("night"), control=seen))
            yield difference(ours, self.io["ctl_unet_out"], "ctl_unet_out", CALL)
        solver = make_solver(backbone.model.scheduler_config, part["steps"], "ddim")
        solver = solver.last(int(part["steps"] * part["strength"]))
        yield Check("ctl: timesteps", float(solver.timesteps.tolist() != part["timesteps"]), 0.0)
        noise = inverted(controlled, Told(self.said(""), control=edges), part, solver, start)
        yield difference(noise, self.io["ctl_inverted"], "ctl: inversion", SAMPLER)
        below, above = (Told(self.said(part[name]), control=edges) for name in ("negative", "prompt"))
        rungs = [(1.0, below), (part["g"], above)]
        steps = windowed_steps(controlled, rungs, part, solver, self.io["ctl_inverted"])
        yield difference(steps, self.io["ctl_steps"], "ctl: steps", SAMPLER)
        if self.holds("ctl_video_u8"):
            yield self.grey(backbone, steps[-1], "ctl")

    # ------------------------------------------------------------ inpainting

    def inpainting(self) -> Iterator[Check]:
        """From the inverted clip."""
        if self.holds("inp_pixels_u8_8x8", "inp_mask_u8", "inp_mask_latent", folder="sd2_inpaint"):
            yield from self._masked()
        if self.holds("inp_latents", "inp_inverted", "inp_steps", "inp_mask_latent", folder="sd2_inpaint"):
            yield from self._painted("inp", self.backbone("sd2_inpaint"), None)

    def both(self) -> Iterator[Check]:
        """Inpainting with a ControlNet, which sees numbers of segments as they are."""
        names = ("inpctl_inverted", "inpctl_steps", "inp_segmap_u8", "inp_latents", "inp_mask_latent")
        if not self.holds(*names, folder="sd2_inpaint/controlnet"):
            return
        net = load_control_net(self.folder / "sd2_inpaint" / "controlnet")
        controlled = Controlled(self.backbone("sd2_inpaint"), net, self.part("inp")["scale"])
        numbers = self.io["inp_segmap_u8"].float()
        control = torch.cat([numbers, torch.zeros_like(numbers), torch.zeros_like(numbers)], 1)
        yield from self._painted("inpctl", controlled, control.transpose(0, 1)[None])

    def _masked(self) -> Iterator[Check]:
        """What stands beside the latents, of pixels and masks; the reference drew its latents, twice."""
        masks, codec = self.io["inp_mask_u8"][:, 0].float() / 255, self.backbone("sd2_inpaint").codec
        blocks = self.io["inp_pixels_u8_8x8"].float().permute(0, 2, 3, 1) / 255  # (F, h, w, 3)
        times = [whole // part for whole, part in zip(masks.shape[1:], blocks.shape[1:3], strict=True)]
        pixels = blocks.repeat_interleave(times[0], 1).repeat_interleave(times[1], 2)
        mean = masked_beside(codec, pixels, masks)[0].transpose(0, 1)  # (F, 5, h, w)
        yield difference(mean[:, :1], self.io["inp_mask_latent"], "inp: mask", 0.0)
        one = torch.ones_like(mean[:, 1:]).transpose(0, 1)
        covers = (masks >= 0.5)[..., None]
        spread = codec.encode(torch.where(covers, 0.5, pixels), one).transpose(0, 1) - mean[:, 1:]
        for name in ("inp_masked_latents", "inp_masked_latents_inversion"):
            if self.holds(name):
                drawn = (self.io[name] - mean[:, 1:]) / spread
                off = max(abs(drawn.mean().item()), abs(drawn.std().item() - 1))
                yield Check(f"{name}: Gaussian around ours", off, 4 / drawn.numel() ** 0.5)

    def _painted(self, name: str, backbone: UNetBackbone | Controlled, control: Tensor | None) -> Iterator[Check]:
        part, mask = self.part("inp"), self.io["inp_mask_latent"]

        def told(sentence: str, masked: str) -> Told:
            beside = torch.cat([mask, self.io[masked]], 1).transpose(0, 1)[None]  # (1, 5, T, h, w)
            return Told(self.said(sentence), beside=beside, control=control)

        solver = make_solver(self.backbone("sd2_inpaint").model.scheduler_config, part["steps"], "ddim")
        yield Check(f"{name}: timesteps", float(solver.timesteps.tolist() != part["timesteps"]), 0.0)
        noise = inverted(backbone, told("", "inp_masked_latents_inversion"), part, solver, self.io["inp_latents"])
        yield difference(noise, self.io[f"{name}_inverted"], f"{name}: inversion", SAMPLER)
        rungs = [(1.0, told("", "inp_masked_latents")), (part["g"], told(part["prompt"], "inp_masked_latents"))]
        steps = windowed_steps(backbone, rungs, part, solver, self.io[f"{name}_inverted"])
        yield difference(steps, self.io[f"{name}_steps"], f"{name}: steps", SAMPLER)
