"""Gen-L-Video's T2I-Adapter and Follow-Your-Pose, compared: a part of `check_relatives.py genlvideo FOLDER`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from comparing import CALL, SAMPLER, Check, difference
from glv_steps import windowed_steps
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.checkpoints.load import load_model
from ivg_core.models.adapter import CELL, FrameAdapter
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled
from ivg_core.models.told import Told
from ivg_core.sampling.solver import make_solver

ADAPTER, FYP = "t2i_adapter.safetensors", "fyp_unet.safetensors"
SENTENCE = "a man walking"  # of the long video; the folder's settings do not name it


class FollowPose:
    """A folder of Gen-L-Video's numbers; what it does not hold is left out, and named.

    Args:
        folder: with glv_meta.json, glv_io.safetensors, t2i_adapter.safetensors, fyp_unet.safetensors, and `sd1`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.meta: dict[str, Any] = json.loads((folder / "glv_meta.json").read_text())
        self.io = load_file(folder / "glv_io.safetensors")

    def holds(self, file: str, *names: str) -> bool:
        """Whether the folder has this file, and these tensors; says so if it does not."""
        missing = [name for name in names if name not in self.io]
        missing += [] if (self.folder / file).is_file() else [file]
        if missing:
            print(f"not in the folder, left out: {', '.join(missing)}")
        return not missing

    def said(self, *sentences: str) -> Tensor:
        """The text states (S, L, D) of sentences."""
        return torch.stack([self.io["text_table"][self.meta["text_table"].index(sentence)] for sentence in sentences])

    def shown(self, name: str) -> Tensor:
        """A control video (1, 3, T, H, W), 0..1, which is stored smaller."""
        stored = self.io[name].float() / 255
        times = CELL * self.io["x"].shape[-1] // stored.shape[-1]
        return stored.repeat_interleave(times, 3).repeat_interleave(times, 4)

    def features(self, net: FrameAdapter, control: Tensor, name: str) -> Iterator[Check]:
        """What an adapter adds to each level."""
        latents = torch.empty(1, 4, control.shape[2], *(side // CELL for side in control.shape[-2:]))
        for i, level in enumerate(net(latents, 0, torch.empty(1, 1, 1), control, 1.0).levels):
            ours = level.unflatten(0, (1, -1)).transpose(1, 2)
            theirs = self.io[f"{name}_feat_{i}"]
            allowed = CALL * max(1.0, theirs.abs().max().item())  # they reach 9, where float32 itself is off by half
            yield difference(ours, theirs, f"{name}_feat_{i}", allowed)

    def adapter(self) -> Iterator[Check]:
        """A T2I-Adapter by itself, and with the network."""
        if not self.holds(ADAPTER, "adapter_control_u8_q", "adapter_unet_out", "x"):
            return
        net, control = load_control_net(self.folder / ADAPTER), self.shown("adapter_control_u8_q")
        assert isinstance(net, FrameAdapter)
        yield from self.features(net, control, "adapter")
        net.parity = True
        controlled = Controlled(UNetBackbone(load_model(self.folder / "sd1"), 2), net)
        clip = self.io["x"][:1, :, : control.shape[2]]
        ours = controlled(clip, self.io["t"], Told(self.said("night"), control=control))
        yield difference(ours, self.io["adapter_unet_out"], "adapter_unet_out", CALL)

    # ------------------------------------------------------------ Follow-Your-Pose

    def write_model(self, path: Path) -> Path:
        """Its network in the released layout, with all else of `sd1`."""
        shutil.copytree(self.folder / "sd1", path, dirs_exist_ok=True, copy_function=shutil.copyfile)
        shutil.rmtree(path / "unet")
        (path / "unet").mkdir()
        config = {"_class_name": "UNet3DConditionModel", **self.meta["fyp_config"]}
        (path / "unet" / "config.json").write_text(json.dumps(config))
        torch.save(load_file(self.folder / FYP), path / "unet" / "diffusion_pytorch_model.bin")
        return path

    def skeletons(self) -> Iterator[Check]:
        """Follow-Your-Pose: its adapter, single calls, and a long video."""
        names = ("fyp_x", "fyp_out", "fyp_out_train", "fyp_out_1f", "fyp_start", "fyp_long_steps")
        if not self.holds(FYP, *names):
            return
        with tempfile.TemporaryDirectory() as path:
            backbone = UNetBackbone(load_model(self.write_model(Path(path))), 2)
        part, pose, io = self.meta["params"]["fyp"], self.shown("fyp_pose_u8_q"), self.io
        net = backbone.network.control_net
        yield from self.features(net, pose[:, :, : part["w"]], "fyp")
        controlled, t = Controlled(backbone, net), io["t"]
        told = Told(self.said("", "rain"), control=pose[:, :, : part["w"]])
        yield difference(controlled(io["fyp_x"], t, told), io["fyp_out"], "fyp_out", CALL)
        yield difference(backbone(io["fyp_x"], t, told), io["fyp_out_train"], "fyp_out_train", CALL)
        one = Told(self.said("rain"), control=pose[:, :, :1])
        yield difference(controlled(io["fyp_x"][:1, :, :1], t, one), io["fyp_out_1f"], "fyp_out_1f", CALL)
        solver = make_solver(backbone.model.scheduler_config, part["steps"], "ddim")
        rungs = [(1.0, Told(self.said(""), control=pose)), (part["g"], Told(self.said(SENTENCE), control=pose))]
        steps = windowed_steps(controlled, rungs, part, solver, io["fyp_start"])
        yield difference(steps, io["fyp_long_steps"], "fyp_long_steps", SAMPLER)


def checks(folder: Path) -> Iterator[Check]:
    """All of them."""
    golden = FollowPose(folder)
    with torch.no_grad():
        yield from golden.adapter()
        yield from golden.skeletons()
