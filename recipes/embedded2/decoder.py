"""Train the decoder alone to bear what stage 2 makes: ``python -m recipes.embedded2.decoder``.

It learnt on latents with noise. Those that stage 2 makes are off in ways of its own; here it sees them, beside the
frames that they stand for. The encoder stays as it is, so that nothing else has to be trained again.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ivg_core.hands.landmarks import load_landmark_net
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import worker_pool
from recipes.embedded.fit import fit
from recipes.embedded.parts import LATENT_SCALE
from recipes.embedded2.draw import Drawn, Folder, Size, draw, save, unpack
from recipes.embedded2.hands import Likeness
from recipes.embedded2.loop import begin, half, in_half, store
from recipes.embedded2.parts import FRAMES, HEIGHT, WIDTH, build_unet
from recipes.embedded2.prolong import FIRST_SEED, SHARD, gather
from recipes.embedded2.stage2 import Clips, ask
from recipes.embedded2.stages import Noising
from recipes.embedded2.vae import LATENT_NOISE, picture_loss, regions

#: Frames of a clip that a step looks at, and masks, which stage 1 is decoded from.
SEEN, MASKS = 4, 1
#: Share of the schedule below which stage 2 is asked; above it, what it makes is no longer this very clip.
BELOW = 0.4


def main() -> None:
    """The command line of ``python -m recipes.embedded2.decoder``; it goes on where it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pieces; its decoder is the beginning")
    parser.add_argument("--work", type=Path, default=Path("out/embedded2"), help="folder that `prolong` has filled")
    parser.add_argument("--size", type=int, nargs=3, default=(WIDTH, HEIGHT, FRAMES), help="width, height, frames")
    parser.add_argument("--scenes", type=int, default=160, help="to look at, of those that `prolong` has encoded")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    size = Size(*args.size)
    folder = args.work / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    with worker_pool(args.threads) as pool:
        list(pool.map(_draw, [(folder, size, n) for n in range(args.scenes)]))
    begin("cpu", 0)
    torch.set_num_threads(args.threads)
    items = gather(args.work, args.out, size, args.scenes // SHARD)
    network = in_half(build_unet()).eval().requires_grad_(False)
    network.load_state_dict(load_file(args.out / "stage2.safetensors"))
    vae = items.encoder.vae.train()
    for part in (vae.decoder, vae.post_quant_conv):
        part.requires_grad_(True)
    loss = decoder_loss(items, network, Folder(folder, "clip-*.npz").fresh(args.scenes))
    trained = fit(
        "decoder",
        nn.ModuleDict({"vae": vae}),
        loss,
        folder=args.work,
        steps=args.steps,
        learning_rate=args.learning_rate,
        log=partial(print, flush=True),
    )
    store(args.work, "vae", trained["vae"])


def decoder_loss(items: Clips, network: Any, scenes: list[Drawn]) -> Any:
    """What the decoder minimises, as `fit` takes it.

    Args:
        items: the clips' latents, those of a file of scenes as they are before those of the same scenes mirrored.
        network: stage 2, frozen.
        scenes: the same scenes, as they were drawn.
    """
    size, noising = items.encoder.size, Noising("cpu")
    likeness = Likeness(load_landmark_net())

    def loss_of(modules: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        torch.manual_seed(generator.initial_seed())
        vae, number = modules["vae"], int(torch.randint(len(scenes), ()))
        scene, frames = scenes[number], torch.randperm(size.frames)[:SEEN]
        shown = torch.from_numpy(scene.frames)[frames].permute(0, 3, 1, 2).float() / 127.5 - 1
        rom = unpack(torch.from_numpy(scene.rom[0]))[:, None].float()
        moving, mask = rom[frames], rom[torch.randint(size.frames, (MASKS,))] * 2 - 1
        with torch.no_grad(), half("cpu"):
            latents = made_by(network, items, row_of(number), noising)[frames] / LATENT_SCALE
            of_mask = vae.encode(mask.expand(-1, 3, -1, -1)).latent_dist.mode().float()
        latents = torch.cat([latents, of_mask + LATENT_NOISE * torch.randn_like(of_mask)])
        rois, there = regions(torch.from_numpy(scene.rois[frames, 0]), size)
        with half("cpu"):
            out = vae.decode(latents).sample.float()
            alike = likeness(out[:SEEN] * 0.5 + 0.5, shown * 0.5 + 0.5, rois, there)
        pixels = torch.cat([shown, mask.expand(-1, 3, -1, -1)])
        weight = torch.cat([moving, torch.zeros(MASKS, *moving.shape[1:])])
        loss, figures = picture_loss(out, pixels, weight, alike, SEEN)
        return loss, {key: float(value.detach()) for key, value in figures.items()}

    return loss_of


def row_of(scene: int) -> int:
    """Where the clips have a scene as it is."""
    return 2 * SHARD * (scene // SHARD) + scene % SHARD


def made_by(network: Any, items: Clips, row: int, noising: Noising) -> Tensor:
    """Scaled latents (F, 4, h, w) of a clip as stage 2 makes them out of little noise; one in three as they are."""
    if torch.rand(()) < 1 / 3:
        exact = items.clip[row].float()
        return exact + LATENT_NOISE * LATENT_SCALE * torch.randn_like(exact)
    asked = ask(items, torch.tensor([row]))
    t, noisy, _ = noising(asked.x0, asked.photo, 0.0, 1, BELOW)
    output = network(noisy, t, asked.text, asked.photo, asked.mask, asked.strength).float()
    return noising.x0(noisy, output, t)[0].transpose(0, 1)


def _draw(job: tuple[Path, Size, int]) -> None:
    folder, size, number = job
    path = folder / f"clip-{number:06d}.npz"
    if not path.exists():
        torch.set_num_threads(1)
        save(path, draw(Scene(FIRST_SEED + number, size.width, size.height), size, True, sentences=1))


if __name__ == "__main__":
    main()
