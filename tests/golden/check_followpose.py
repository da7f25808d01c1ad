"""Gen-L-Video's T2I-Adapter and Follow-Your-Pose, compared: a part of `check_relatives.py genlvideo FOLDER`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from comparing import CALL, Check, difference
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.checkpoints.load import load_model
from ivg_core.models.adapter import FrameAdapter
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled
from ivg_core.models.told import Told

#: Pixels of a side that one stored pixel of a control video stands for.
STORED = 4


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
        """A control video (1, 3, T, H, W), 0..1."""
        return (self.io[name].float() / 255).repeat_interleave(STORED, 3).repeat_interleave(STORED, 4)

    def features(self, net: FrameAdapter, control: Tensor, name: str) -> Iterator[Check]:
        """What an adapter adds to each level."""
        latents = torch.empty(1, 4, control.shape[2], *(side // net.cell for side in control.shape[-2:]))
        for i, level in enumerate(net(latents, 0, torch.empty(1, 1, 1), control, 1.0).levels):
            ours = level.unflatten(0, (1, -1)).transpose(1, 2)
            yield difference(ours, self.io[f"{name}_feat_{i}"], f"{name}_feat_{i}", CALL)

    def adapter(self) -> Iterator[Check]:
        """A T2I-Adapter by itself, and with the network."""
        if not self.holds(file := "t2i_adapter.safetensors", "adapter_control_u8_q", "adapter_unet_out", "x"):
            return
        net, control = load_control_net(self.folder / file), self.shown("adapter_control_u8_q")
        assert isinstance(net, FrameAdapter)
        yield from self.features(net, control, "adapter")
        net.parity = True
        controlled = Controlled(UNetBackbone(load_model(self.folder / "sd1"), 2), net)
        clip = self.io["x"][:1, :, : control.shape[2]]
        ours = controlled(clip, self.io["t"], Told(self.said("night"), control=control))
        yield difference(ours, self.io["adapter_unet_out"], "adapter_unet_out", CALL)


def checks(folder: Path) -> Iterator[Check]:
    """All of them."""
    golden = FollowPose(folder)
    with torch.no_grad():
        yield from golden.adapter()
