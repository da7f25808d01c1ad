"""Run the steps in order: draw, autoencoder, latents, stage 1, stage 2, and write the one-file model."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.checkpoints.save import save_file
from ivg_core.models.bundle import IVGModel, ModelDefaults
from ivg_core.synthetic.dataset import render_dataset, worker_pool
from recipes.embedded.clips import Scenes
from recipes.embedded.domain import with_domain
from recipes.embedded.latents import encode_shard
from recipes.embedded.parts import (
    FRAMES,
    HEIGHT,
    SCHEDULER_CONFIG,
    WIDTH,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    build_vae,
)
from recipes.embedded.stages import train_stage1, train_stage2
from recipes.embedded.vae import train_decoder, train_vae


def main() -> None:
    """The command line of ``python -m recipes.embedded``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/embedded"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--scenes", type=int, default=3200, help="scenes to draw")
    parser.add_argument("--vae-steps", type=int, default=2400)
    parser.add_argument("--decoder-steps", type=int, default=0, help="further steps for the decoder alone")
    parser.add_argument("--stage1-steps", type=int, nargs=3, default=(1200, 5000, 700), help="on 3, on 1, on 8 frames")
    said = "on 3, on 8 frames, on 8 frames with the hand loss"
    parser.add_argument("--stage2-steps", type=int, nargs=3, default=(1200, 2900, 450), help=said)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # vanishing gradients would otherwise slow a CPU down tenfold
    model = with_domain(build(args))
    save_file(model, args.out)
    print(f"wrote {args.out}: {args.out.stat().st_size / 2**20:.1f} MiB")


def build(args: argparse.Namespace) -> IVGModel:
    """Run every step that is not done yet in ``args.work``; arguments as on the command line."""
    work = args.work
    shards = render_dataset(work / "scenes", args.scenes, FRAMES, WIDTH, HEIGHT, workers=args.threads)
    vae = build_vae()
    if not (work / "vae.safetensors").exists():
        torch.manual_seed(0)
        train_vae(work, shards[:24], args.vae_steps)
    vae.load_state_dict(load_file(work / "vae.safetensors"))
    vae.eval().requires_grad_(False)
    latents = encode_all(work, shards, args.threads)
    tokenizer = build_tokenizer(work / "tokenizer")
    torch.manual_seed(1)
    model = IVGModel(
        unet=None,
        rom_unet=None,
        vae=vae,
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        scheduler_config=SCHEDULER_CONFIG,
        defaults=ModelDefaults(width=WIDTH, height=HEIGHT, num_frames=FRAMES, num_inference_steps=8, guidance_scale=1),
        name="embedded",
        source="trained from nothing by recipes.embedded",
        licence="MIT, as the project it ships with",
    )
    jobs = [
        (stage, work, model, latents, shards, args.batch, steps)
        for stage, steps in ((1, args.stage1_steps), (2, args.stage2_steps))
    ]
    with worker_pool(2) as pool:
        states = list(pool.map(_train_stage, jobs))
    unets = [build_unet(), build_unet()]
    for unet, state in zip(unets, states, strict=True):
        unet.load_state_dict(state)
        unet.eval()
    if args.decoder_steps:
        vae = train_decoder(work, vae, shards[:24], args.decoder_steps)
    return replace(model, rom_unet=unets[0], unet=unets[1], vae=vae)


def _train_stage(
    job: tuple[int, Path, IVGModel, list[Path], list[Path], int, tuple[int, int, int]],
) -> dict[str, Tensor]:
    """Train one stage on one core."""
    stage, work, model, latents, shards, batch, steps = job
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(stage)
    unet = build_unet()
    scenes = Scenes(latents, shards)
    if stage == 1:
        return train_stage1(work, replace(model, rom_unet=unet), scenes, steps, batch).for_stage(1).state_dict()
    return train_stage2(work, replace(model, unet=unet), scenes, steps, batch).for_stage(2).state_dict()


def encode_all(work: Path, shards: list[Path], workers: int) -> list[Path]:
    """Encode every shard that has no latents yet, one process a thread."""
    folder = work / "latents"
    folder.mkdir(exist_ok=True)
    targets = [folder / shard.with_suffix(".safetensors").name for shard in shards]
    todo = [(work, shard, target) for shard, target in zip(shards, targets, strict=True) if not target.exists()]
    with worker_pool(workers) as pool:
        list(pool.map(_encode_job, todo))
    return targets


def _encode_job(job: tuple[Path, Path, Path]) -> None:
    work, shard, target = job
    torch.set_num_threads(1)
    vae = build_vae()
    vae.load_state_dict(load_file(work / "vae.safetensors"))
    encode_shard(vae.eval(), shard, target)
