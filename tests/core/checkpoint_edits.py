"""What the checkpoint tests share: changing files of a checkpoint, and comparing models."""

import json

import torch
from safetensors.torch import load_file, save_file

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(path, change):
    tensors = load_file(path)
    save_file(change(tensors), path, metadata={"format": "pt"})


def assert_same_weights(model, expected, dtype=torch.float32):
    for name in ("unet", "rom_unet", "vae", "text_encoder"):
        ours, theirs = getattr(model, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            weights = theirs.state_dict()
            assert ours.state_dict().keys() == weights.keys()
            assert all(torch.equal(tensor, weights[key].to(dtype)) for key, tensor in ours.state_dict().items()), name
