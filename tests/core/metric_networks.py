"""Tiny networks with random weights in the layouts in which those of the metrics are published."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import torch
from torch import Tensor

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a picture of the person hand cuts stirs carrot pan with".split()


def write_clip(folder: Path, tokenizer: Path) -> Path:
    """A CLIP model of 32-pixel pictures; `tokenizer` is a folder with the files of a CLIP tokenizer."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = CLIPTokenizer.from_pretrained(tokenizer)
    text = {**small, "vocab_size": len(words), "eos_token_id": words.eos_token_id, "max_position_embeddings": 77}
    vision = {**small, "image_size": 32, "patch_size": 16}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    CLIPModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def write_blip(folder: Path) -> Path:
    """A BLIP captioner of 32-pixel pictures that knows a dozen words."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": WORDS.index("[CLS]"), "sep_token_id": WORDS.index("[SEP]"), "pad_token_id": 0}
    text = {**small, **ids, "eos_token_id": ids["sep_token_id"], "vocab_size": len(WORDS), "encoder_hidden_size": 32}
    vision = {**small, "image_size": 32, "patch_size": 16}
    BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    Path(folder, "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def write_egovlp(path: Path, frames: int = 4) -> Path:
    """EgoVLP as its authors publish it: weights of a data-parallel run beside the run's configuration object."""
    from transformers import DistilBertConfig, DistilBertModel

    from ivg_core.evaluate.metrics.egovlp import SpaceTimeTransformer

    torch.manual_seed(0)
    video = SpaceTimeTransformer(width=64, hidden=128, depth=2, patch=16, patches=4, num_frames=frames)
    text = DistilBertModel(DistilBertConfig(vocab_size=len(WORDS), dim=64, hidden_dim=128, n_layers=1, n_heads=1))
    weights = {f"module.video_model.{name}": value for name, value in video.state_dict().items()}
    weights |= {f"module.text_model.{name}": value for name, value in text.state_dict().items()}
    weights |= {"module.vid_proj.0.weight": torch.randn(16, 64), "module.vid_proj.0.bias": torch.randn(16)}
    weights |= {"module.txt_proj.1.weight": torch.randn(16, 64), "module.txt_proj.1.bias": torch.randn(16)}
    # the class is that of another program, so it is not there when the file is read
    module = types.ModuleType("parse_config")
    module.ConfigParser = type("ConfigParser", (), {"__module__": "parse_config"})  # type: ignore[attr-defined]
    sys.modules["parse_config"] = module
    config = module.ConfigParser()  # type: ignore[attr-defined]
    config.save_dir, config.arch = Path("results/egovlp"), {"type": "FrozenInTime"}
    try:
        torch.save({"arch": "FrozenInTime", "epoch": 1, "state_dict": weights, "config": config}, path)
    finally:
        del sys.modules["parse_config"]
    return path


def write_i3d(path: Path) -> Path:
    """A network that is called as the published TorchScript of I3D is."""
    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(TinyI3D()), str(path))
    return path


class TinyI3D(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 400, (8, 1, 1), stride=2)

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        if resize:
            x = torch.nn.functional.interpolate(x, [x.shape[2], 8, 8], mode="trilinear")
        if rescale:
            x = x * (2.0 / 255) - 1
        features = self.conv(x).mean([2, 3, 4])
        return features if return_features else features.softmax(1)


def regular(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that depend on nothing but their names and shapes."""
    waves = {}
    for number, name in enumerate(sorted(state)):
        places = torch.arange(state[name].numel(), dtype=torch.float64)
        waves[name] = (0.3 * torch.sin(0.37 * places + number)).reshape(state[name].shape).float()
    return waves
