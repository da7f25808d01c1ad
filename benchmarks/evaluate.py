"""`evaluate` on held-out drawn scenes: the embedded model with predicted masks, with white ones, and a still photo.

    PYTHONPATH=. python benchmarks/evaluate.py --out out/evaluate [--scenes 8] [--weights FOLDER] [--record benchmarks]

Clips that are there already are kept. Metrics whose networks are not in --weights are counted as named missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.record import record
from ivg_core.batch.run import BatchSettings, run_batch
from ivg_core.batch.table import Item, read_table
from ivg_core.checkpoints.load import load_model
from ivg_core.evaluate.clips import pair_clips
from ivg_core.evaluate.grid import computed
from ivg_core.evaluate.page import write_page
from ivg_core.evaluate.report import as_markdown, write_report
from ivg_core.evaluate.run import ALL, evaluate_methods
from ivg_core.media.images import load_image
from ivg_core.media.video import write_video
from ivg_core.models.bundle import IVGModel
from ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_core.synthetic.export import export_scenes

STILL = "still photo"
SETTINGS = {"predicted mask": BatchSettings(), "white mask": BatchSettings(fallback="white")}


def make_clips(model: IVGModel, items: list[Item], folder: Path) -> None:
    """Each method's clips in a folder of its name."""
    for name, settings in SETTINGS.items():
        run_batch(model, items, folder / name, settings, on_item=lambda n, of, item: print(n, of, item.name))
    for item in items:
        photo = load_image(item.image)
        still = photo.expand(model.defaults.num_frames, *photo.shape)
        write_video(still, folder / STILL / f"{item.image.stem}.mp4", model.defaults.fps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True, help="folder for clips and report")
    parser.add_argument("--weights", type=Path, help="networks of the metrics")
    parser.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")
    options = parser.parse_args()
    model = load_model("embedded")
    size = model.defaults
    true = options.out / "true"
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + options.scenes)
    export_scenes(true, seeds, (size.width, size.height), size.num_frames)
    prompts = true / "prompt.json"
    make_clips(model, read_table(prompts), options.out)
    names = [*SETTINGS, STILL]
    result = evaluate_methods(
        {name: pair_clips(options.out / name, true, prompts, true / "masks") for name in names},
        options.weights,
        on_clip=lambda number, total, what: print(f"{number}/{total} {what}", file=sys.stderr),
    )
    write_report(result, options.out)
    write_page(result, options.out)
    print(as_markdown(result))
    figures: dict[str, float] = {
        "scenes": options.scenes,
        "metrics_computed": len(computed(result)),
        "metrics_named_missing": len(result.missing),
    }
    for name, row in result.table[ALL].items():
        figures |= {f"{name.replace(' ', '_')}_{key}": round(figure.value, 5) for key, figure in row.items()}
    if options.record:
        record(options.record, "evaluate", figures)


if __name__ == "__main__":
    main()
