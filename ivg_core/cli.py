"""The command line: ``python -m ivg_core <command> --help`` explains each command."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import IVGError

if TYPE_CHECKING:
    from torch import Tensor

    from .models.bundle import IVGModel

EXAMPLES = """\
examples:
  python -m ivg_core demo
      one drawn scene through both stages with the embedded model; the results lie in out/demo
  python -m ivg_core generate --image kitchen.png --prompt "julienne the carrot" --model models/IVG.1.0 --out carrot.mp4
      predict where it happens, then make the video
  python -m ivg_core predict-mask --image kitchen.png --prompt "julienne the carrot" --out mask.png
      only the mask, to be edited by hand; then: generate … --mask mask.png
  python -m ivg_core info models/IVG.1.0
      what this checkpoint is, what is missing, its licence, the memory it takes
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one sentence on stderr when the user can mend something."""
    logging.basicConfig(format="note: %(message)s", level=logging.WARNING)
    options = _parser().parse_args(argv)
    try:
        options.run(options)
    except IVGError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written that is not whole", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ivg_core",
        description="Instructional video generation: a photo and a sentence become a motion mask and a video.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=text, description=text, parents=parents, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        added.set_defaults(run=run)
        return added

    model, scene, stage1 = _model_options(), _scene_options(), _stage1_options()
    demo = command("demo", _demo, "one drawn scene through both stages with the embedded model")
    demo.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the photo, mask, video and sheet")
    demo.add_argument("--scene", type=int, default=0, help="which of the drawn scenes, 0 and up")
    demo.add_argument("--seed", type=int, default=0, help="of the noise")

    generate = command("generate", _generate, "photo + sentence -> video, by way of the mask", model, scene, stage1)
    generate.add_argument(
        "--out", type=Path, required=True, help="video to write: .mp4, .webm, .gif or .png (numbered)"
    )
    generate.add_argument("--mask", type=Path, help="image, white where things may move; not given: it is predicted")
    generate.add_argument("--fallback", choices=("white", "prior"), help="mask to use in place of a predicted one")
    generate.add_argument("--prior-masks", type=Path, help="folder of masks whose mean is the prior")
    generate.add_argument("--negative", default="", help="what the video should not show")
    generate.add_argument("--motion", type=float, default=5.0, help="motion strength, 1 to 20")
    generate.add_argument("--grow", type=int, default=4, help="pixels by which a predicted mask is grown")
    generate.add_argument("--free-first-frame", action="store_true", help="do not hold frame 1 to the photo")
    generate.add_argument("--no-composite", action="store_true", help="do not paste the photo back outside the mask")
    generate.add_argument("--parity", action="store_true", help="follow the released code to the letter")
    generate.add_argument("--fps", type=float, help="frames a second (default: the model's)")
    generate.add_argument("--sheet", type=Path, help="also write a contact sheet, a PNG")

    said = "photo + sentence -> mask of where it will move"
    predict = command("predict-mask", _predict_mask, said, model, scene, stage1)
    predict.add_argument("--out", type=Path, required=True, help="PNG to write, white where things will move")
    predict.add_argument("--frames-out", type=Path, help="folder for the mask of each frame")

    refine = command("refine-mask", _refine_mask, "make a mask better; the steps run in the order of the options")
    refine.add_argument("mask", type=Path, help="image to read")
    refine.add_argument("--out", type=Path, required=True, help="PNG to write")
    refine.add_argument("--threshold", type=float, help="values from here up become white, 0..1")
    refine.add_argument("--min-area", type=int, default=0, help="remove parts smaller than this many pixels")
    refine.add_argument("--close", type=int, default=0, help="close gaps up to about twice this many pixels wide")
    refine.add_argument("--fill-holes", action="store_true", help="fill what the mask encloses")
    refine.add_argument("--convex-hull", action="store_true", help="replace the mask by its convex hull")
    refine.add_argument("--box", action="store_true", help="replace the mask by its bounding box")
    refine.add_argument("--grow", type=int, default=0, help="pixels to grow by; negative shrinks")
    refine.add_argument("--other", type=Path, help="a second mask to join")
    refine.add_argument("--combine", choices=("union", "intersect", "subtract"), default="union", help="how to join it")
    refine.add_argument("--feather", type=float, default=0.0, help="width of the soft edge in pixels")

    synth = command("synth", _synth, "write drawn scenes: clips, masks, photos and the released prompt.json")
    synth.add_argument("--out", type=Path, required=True, help="folder to write")
    synth.add_argument("--scenes", type=int, default=8, help="how many")
    synth.add_argument("--first", type=int, default=0, help="seed of the first; 1000000 and up are never trained on")
    synth.add_argument("--size", type=_size, default=(192, 128), metavar="WxH")
    synth.add_argument("--frames", type=int, default=8)

    info = command("info", _info, "explain a checkpoint: what it is, what is missing, licence, memory")
    info.add_argument("checkpoint", help='folder, file, or "embedded"')

    bench = command("bench-rom", _bench_rom, "measure predicted masks on held-out drawn scenes beside baselines", model)
    bench.add_argument("--scenes", type=int, default=200, help="how many held-out scenes")
    bench.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")
    return parser


def _model_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("model")
    group.add_argument("--model", default="embedded", help='checkpoint folder, one-file .safetensors, or "embedded"')
    group.add_argument("--rom-model", help="another checkpoint whose weights predict the mask")
    group.add_argument("--device", default="cpu", help="cpu, cuda, mps …")
    group.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="of the weights")
    return options


def _scene_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("scene")
    group.add_argument("--image", type=Path, required=True, help="the photo")
    group.add_argument("--prompt", required=True, help='what is done, e.g. "julienne the carrot"')
    group.add_argument("--size", type=_size, metavar="WxH", help="of the video, multiples of 8 (default: the photo's)")
    group.add_argument("--frames", type=int, help="(default: the model's)")
    group.add_argument("--steps", type=int, help="denoising steps (default: the model's)")
    group.add_argument("--guidance", type=float, help="how strongly the prompt is followed (default: the model's)")
    group.add_argument("--seed", type=int, default=0, help="same seed, same frames")
    return options


def _stage1_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--threshold", type=float, default=0.5, help="of the predicted mask, 0..1")
    return options


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 512x320") from None
    return width, height


# ----------------------------------------------------------------------------------------------------------- commands
def _generate(options: argparse.Namespace) -> None:
    from .media.contact_sheet import contact_sheet
    from .media.images import load_image, save_png
    from .media.video import write_video
    from .sampling.generate import generate

    photo = load_image(options.image)
    model = _load(options)
    mask = _mask_for(options, model, photo)
    defaults = model.defaults
    video = generate(
        model,
        options.image if options.parity else photo,
        options.prompt,
        mask=mask,
        negative_prompt=options.negative,
        num_frames=_given(options.frames, defaults.num_frames),
        num_inference_steps=_given(options.steps, defaults.num_inference_steps),
        guidance_scale=_given(options.guidance, defaults.guidance_scale),
        motion_strength=options.motion,
        size=options.size,
        seed=options.seed,
        parity=options.parity,
        keep_first_frame=not (options.free_first_frame or options.parity),
        composite=not (options.no_composite or options.parity),
        on_step=_progress("video"),
    )
    notes = {"prompt": options.prompt, "seed": video.seed}
    _say(write_video(video.frames, options.out, _given(options.fps, defaults.fps), notes))
    if options.sheet:
        save_png(contact_sheet(video.frames, video.mask, photo, options.prompt), options.sheet)
        _say(options.sheet)


def _mask_for(options: argparse.Namespace, model: IVGModel, photo: Tensor) -> Tensor:
    from .media.images import load_mask
    from .rom.fallback import prior_mask, white_mask
    from .rom.refine import refine_mask

    size = (photo.shape[1], photo.shape[0])
    if options.mask:
        return load_mask(options.mask)
    if options.fallback == "white":
        return white_mask(size)
    if options.fallback == "prior":
        if not options.prior_masks:
            raise IVGError("The prior is the mean of other masks: give a folder of them with --prior-masks.")
        pictures = (path for path in options.prior_masks.glob("*") if path.suffix.lower() in (".png", ".jpg", ".webp"))
        return refine_mask(prior_mask([str(path) for path in sorted(pictures)], size), threshold=options.threshold)
    mask = _predict(options, model, photo).mask
    if not mask.any():
        raise IVGError(
            "The predicted mask is empty: lower --threshold, try another --seed or --prompt, give a --mask, "
            "or choose --fallback white."
        )
    return refine_mask(mask, grow=options.grow) if options.grow else mask


def _predict_mask(options: argparse.Namespace) -> None:
    from .media.images import load_image, save_png

    rom = _predict(options, _load(options), load_image(options.image))
    save_png(rom.mask, options.out)
    _say(options.out)
    print(f"{rom.coverage:.0%} of the photo will move")
    if options.frames_out:
        for index, mask in enumerate(rom.frame_masks, 1):
            save_png(mask, options.frames_out / f"{index:04d}.png")
        _say(options.frames_out)


def _predict(options: argparse.Namespace, model: IVGModel, photo: Tensor):
    from .rom.predict import predict_rom

    return predict_rom(
        model,
        photo,
        options.prompt,
        seed=options.seed,
        num_frames=options.frames,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        size=options.size,
        threshold=options.threshold,
        on_step=_progress("mask"),
    )


def _refine_mask(options: argparse.Namespace) -> None:
    from .media.images import load_mask, save_png
    from .rom.refine import refine_mask

    refined = refine_mask(
        load_mask(options.mask),
        threshold=options.threshold,
        min_area=options.min_area,
        close=options.close,
        fill_holes=options.fill_holes,
        convex_hull=options.convex_hull,
        box=options.box,
        grow=options.grow,
        other=load_mask(options.other) if options.other else None,
        combine=options.combine,
        feather=options.feather,
    )
    save_png(refined, options.out)
    _say(options.out)


def _demo(options: argparse.Namespace) -> None:
    from .media.images import save_png
    from .synthetic import example

    began = time.monotonic()
    photo, action = example(options.scene)
    save_png(photo, options.out / "photo.png")
    print(f'photo: {options.out / "photo.png"}\naction: "{action}"')
    common = ["--image", str(options.out / "photo.png"), "--prompt", action, "--seed", str(options.seed)]
    mask = str(options.out / "mask.png")
    video, sheet = str(options.out / "video.mp4"), str(options.out / "sheet.png")
    for command in (
        ["predict-mask", *common, "--out", mask],
        ["refine-mask", mask, "--grow", "4", "--out", mask],
        ["generate", *common, "--mask", mask, "--out", video, "--sheet", sheet],
    ):
        print("\n$ python -m ivg_core " + " ".join(f'"{word}"' if " " in word else word for word in command))
        chosen = _parser().parse_args(command)
        chosen.run(chosen)
    print(f"\ndone in {time.monotonic() - began:.0f} s; look at {options.out / 'sheet.png'}")


def _synth(options: argparse.Namespace) -> None:
    from .synthetic.export import export_scenes

    _say(export_scenes(options.out, range(options.first, options.first + options.scenes), options.size, options.frames))


def _info(options: argparse.Namespace) -> None:
    from .models.inspect import inspect_checkpoint

    print(inspect_checkpoint(options.checkpoint))


def _bench_rom(options: argparse.Namespace) -> None:
    from .bench.record import record
    from .bench.rom import bench_rom

    figures = bench_rom(_load(options), options.scenes)
    for name, value in figures.items():
        print(f"{name:24} {value:.4g}")
    if options.record:
        _say(record(options.record, "rom", figures))


# ------------------------------------------------------------------------------------------------------------- shared
def _load(options: argparse.Namespace) -> IVGModel:
    import torch

    from .models.checkpoint import load_model

    return load_model(options.model, dtype=getattr(torch, options.dtype), device=options.device, rom=options.rom_model)


def _progress(what: str):
    def show(step: int, total: int, x0: Tensor) -> None:
        end = "\n" if step == total else ""
        print(f"\r{what}: step {step}/{total}", end=end, file=sys.stderr, flush=True)

    return show


def _given(value, default):
    return default if value is None else value


def _say(path: Path) -> None:
    print(f"wrote {path}")
