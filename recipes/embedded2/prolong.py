"""Train stage 2 further on a CPU, in as many sittings as it takes: ``python -m recipes.embedded2.prolong``.

A GPU trains all of this model within minutes and by the clock (``python -m recipes.embedded2``). Here it goes by steps.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import worker_pool
from recipes.embedded.fit import fit
from recipes.embedded2.draw import Size, draw
from recipes.embedded2.loop import begin, in_half, store
from recipes.embedded2.parts import FRAMES, HEIGHT, WIDTH, build_unet
from recipes.embedded2.stage2 import Clips, stage2_loss
from recipes.embedded2.stages import Encoder

#: Scenes of a file; each gives two clips, as it is and mirrored.
SHARD = 16
#: Scenes from here on: those before were drawn where there was a GPU.
FIRST_SEED = 20_000
FIELDS = ("clip", "moving", "rom", "text", "rois", "joints")


def main() -> None:
    """The command line of ``python -m recipes.embedded2.prolong``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pieces; its stage 2 is the beginning")
    parser.add_argument("--work", type=Path, default=Path("out/embedded2"), help="folder of clips and checkpoints")
    parser.add_argument("--size", type=int, nargs=3, default=(WIDTH, HEIGHT, FRAMES), help="width, height, frames")
    parser.add_argument("--scenes", type=int, default=480, help="to draw")
    parser.add_argument("--steps", type=int, default=20000, help="without the hand loss")
    parser.add_argument("--hand-steps", type=int, default=0, help="with it, after those")
    parser.add_argument("--batch", type=int, default=4, help="clips a step")
    parser.add_argument("--learning-rate", type=float, nargs=2, default=(4e-4, 2e-4), help="peaks of the two")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    size = Size(*args.size)
    jobs = [(args.work, args.out, size, n) for n in range(args.scenes // SHARD)]
    with worker_pool(args.threads) as pool:
        list(pool.map(_encode, jobs))
    begin("cpu", 0)
    torch.set_num_threads(args.threads)
    items = gather(args.work, args.out, size, args.scenes // SHARD)
    print(f"{items.filled} clips", flush=True)
    network = without_dropout(in_half(build_unet()))
    network.load_state_dict(load_file(args.out / "stage2.safetensors"))
    loss_of = stage2_loss(items)
    parts = (("longer", args.steps, 0), ("hands", args.hand_steps, 1))
    for (name, steps, hands), rate in zip(parts, args.learning_rate, strict=True):

        def loss(modules: nn.ModuleDict, generator: torch.Generator, hands: int = hands) -> tuple[Tensor, dict]:
            torch.manual_seed(generator.initial_seed())
            value, figures = loss_of(modules["unet"], args.batch, None, hands)
            return value, {key: float(figure.detach()) for key, figure in figures.items()}

        trained = fit(
            f"stage2-{name}",
            nn.ModuleDict({"unet": network}),
            loss,
            folder=args.work,
            steps=steps,
            learning_rate=rate,
            ema_decay=0.999,
            log=partial(print, flush=True),
        )
        network = trained["unet"].requires_grad_(True)
        store(args.work, f"stage2-{name}", network)


def without_dropout(network: nn.Module) -> nn.Module:
    """So small a network, shown new scenes all the time, has nothing to unlearn; and chance costs a tenth of a step."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.train()


def _encode(job: tuple[Path, Path, Size, int]) -> None:
    """Draw and encode the scenes of one file, unless it is there."""
    work, pieces, size, number = job
    path = work / f"clips-{number:04d}.safetensors"
    if path.exists():
        return
    begin("cpu", 1)
    items = Clips(2 * SHARD, Encoder(pieces, "cpu", size))
    first = FIRST_SEED + SHARD * number
    items.take([draw(Scene(first + i, size.width, size.height), size, True, sentences=1) for i in range(SHARD)])
    partial = path.with_suffix(".part")
    save_file({name: getattr(items, name) for name in FIELDS}, partial)
    os.replace(partial, path)


def gather(work: Path, pieces: Path, size: Size, count: int) -> Clips:
    """All the clips that were encoded."""
    items = Clips(2 * SHARD * count, Encoder(pieces, "cpu", size))
    for number in range(count):
        stored = load_file(work / f"clips-{number:04d}.safetensors")
        for name in FIELDS:
            getattr(items, name)[items.filled : items.filled + 2 * SHARD] = stored[name]
        items.filled += 2 * SHARD
    items.count.fill_(items.filled)
    return items


if __name__ == "__main__":
    main()
