"""Which pictures the embedded model knows: measured on scenes that it was trained on, written into its file.

``python -m recipes.embedded.domain FILE`` writes it into a file that exists and leaves every weight as it is.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ivg_core.checkpoints.load import load_model
from ivg_core.media.files import atomic_write
from ivg_core.models.bundle import IVGModel
from ivg_core.models.domain import Domain, Look, look_at
from ivg_core.synthetic.clips import Scene

KIND = "drawn kitchen scenes"
SCENES = 200  # the first seeds, which every training has seen


def main(argv: list[str] | None = None) -> None:
    """The command line of ``python -m recipes.embedded.domain``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a one-file model, rewritten")
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes to measure (default: %(default)s)")
    args = parser.parse_args(argv)
    domain = fit_domain(load_model(args.file), args.scenes)
    write_domain(args.file, domain)
    print(domain.to_json())


def with_domain(model: IVGModel) -> IVGModel:
    """The model, knowing what it knows."""
    return replace(model, domain=fit_domain(model))


def fit_domain(model: IVGModel, scenes: int = SCENES) -> Domain:
    """The domain around the first `scenes` training scenes, at the size that the model is made for.

    Of each the photo, the photo at half size, which is smoother than any other, and the last frame of a clip.
    """
    looks: list[Look | None] = []
    for seed in range(scenes):
        scene = Scene(seed, model.defaults.width, model.defaults.height)
        first, last = torch.from_numpy(scene.clip(scene.tasks[seed % len(scene.tasks)], 2).frames).float() / 255
        looks += [look_at(model, picture) for picture in (first, _halved(first), last)]
    return Domain.around(KIND, [look for look in looks if look])


def _halved(photo: Tensor) -> Tensor:
    planes = photo.permute(2, 0, 1)[None]
    return interpolate(planes, scale_factor=0.5, mode="bilinear", antialias=True)[0].permute(1, 2, 0)


def write_domain(path: Path, domain: Domain) -> None:
    """Put it into the description of a safetensors file; the bytes of the tensors stay as they are."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"]["domain"] = domain.to_json()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    with atomic_write(path) as temporary:
        temporary.write_bytes(len(text).to_bytes(8, "little") + text + data[start:])


if __name__ == "__main__":
    main()
