"""The parts of the embedded model: real classes at tiny sizes, and a tokenizer that knows the scenes' words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ivg_core.models.unet import IVGUNet
from recipes.embedded.sentences import vocabulary_text

WIDTH, HEIGHT, FRAMES = 192, 128, 8
#: The released code multiplies by this number whatever the config says; the latents are whitened so that it fits.
LATENT_SCALE = 0.18215
TEXT_WIDTH = 64
#: v-prediction: at the noisiest timesteps it asks for the picture itself, which a tiny network learns far sooner.
SCHEDULER_CONFIG = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.24.0",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "trailing",
    "prediction_type": "v_prediction",
}


class PlainAttention:
    """Softmax attention in three lines of matrices.

    The fused kernels are made for long sequences; over the nine frames of a clip, on a CPU, they cost a third more.
    """

    def __call__(self, attn, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        shape, heads = hidden_states.shape, attn.heads
        queries = hidden_states.reshape(context.shape[0], -1, shape[-1])  # frames of a clip share their text
        q, k, v = (
            project(x).unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, tokens, C / heads)
            for project, x in ((attn.to_q, queries), (attn.to_k, context), (attn.to_v, context))
        )
        weights = torch.softmax(q * attn.scale @ k.transpose(-1, -2), -1, dtype=q.dtype)
        return attn.to_out[0]((weights @ v).transpose(1, 2).reshape(shape))


def build_unet() -> IVGUNet:
    """A three-level UNet of 4.7 M parameters; the first level works without attention."""
    unet = IVGUNet(
        sample_size=16,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "UpBlock3D"),
        layers_per_block=1,
        attention_head_dim=8,
        cross_attention_dim=TEXT_WIDTH,
        motion_mask=True,
        motion_strength=True,
    )
    processor: Any = PlainAttention()
    unet.set_attn_processor(processor)
    return unet


def build_vae() -> AutoencoderKL:
    """An autoencoder of 1 M parameters with the usual factor 8 and four latent channels."""
    # A dict, because diffusers' own annotations allow one block only.
    config: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (16, 32, 64, 64),
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 8,
        "sample_size": 128,
    }
    return AutoencoderKL(**config)


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """A byte-pair tokenizer in CLIP's layout, trained on the scenes' sentences; its files go to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=1200, min_frequency=1, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(vocabulary_text(), trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    # CLIP's order: bytes, bytes that end a word, merges, specials.
    tokens = alphabet + [a + "</w>" for a in alphabet]
    tokens += [a + b for a, b in merges if a + b not in set(tokens)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1))
    return CLIPTokenizer.from_pretrained(str(folder))


def build_text_encoder(tokenizer: Any) -> CLIPTextModel:
    """A two-layer CLIP text encoder for that tokenizer, with random weights that stay as they are.

    Fixed random states tell the scenes' few words apart well enough, and let the stages be trained side by side.
    """
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    words: Any = encoder.get_input_embeddings()
    words.weight.data *= 3  # what a word is counts for more than where it stands
    return encoder.eval().requires_grad_(False)


def to_pixels(frames: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float in -1..1."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
