"""The paper's Table 2, made here from nothing but this repository, beside the paper's own (``make table2``)."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.ablation import ROWS
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.hs_err import LEGEND
from ivg_core.media.files import atomic_write

ROOT = Path(__file__).parents[1]
#: The embedded model as it was before it was trained with the hand loss, in this repository's history.
BASE_BLOB = "c1dd3edf4eabc539050c36db14d3dcbf69a1c196"
BASE_SHA256 = "0d4b6ac8c2b18f74150c60c9806ac490a3eea8eee6b12c42bb515e16f2bb69b6"

#: Row -> its name, number and HS-Err in the paper. Its third row has no cross under "Hand", as its fifth has none.
PAPER: dict[str, tuple[str, str, float | None]] = {
    "white": ("white mask", "1", 0.01908),
    "gt": ("exact mask (paper: hand hulls)", "2", 0.01935),
    "prior": ("prior mask", "", None),
    "stage1": ("mask of stage 1", "4", 0.01940),
    "prior_hand": ("prior mask, hand loss", "3", 0.01670),
    "stage1_hand": ("mask of stage 1, hand loss", "5", 0.01512),
}
#: Column -> figure of `bench_ablation`.
COLUMNS = {
    "HS-Err": "hs_err",
    "hands found": "hand_recall",
    "HS-Err of those found": "hs_err_found",
    "HS-Err, second judge": "hs_err_lite",
    "RoM mIoU": "rom_miou",
    "motion precision": "motion_precision",
    "pixel distance": "distance",
}
ABOUT = """\
{legend}

The paper measures EPIC-KITCHENS after 50 epochs, this table drawn scenes after {steps} steps: sizes do not compare, the
order of rows does. Means over {seeds} seeds and {scenes} held-out scenes, HS-Err ± the deviation over seeds. The
paper's other columns need the networks of its metrics (`python -m ivg_core download --metrics`):

    python -m ivg_core evaluate {generated} \\
        --truth {work}/true/target --prompts {work}/true/prompt.json --masks {work}/true/masks --out {work}/report
"""


def base_weights(work: Path) -> Path:
    """The checkpoint that every training of the recorded table begins with, known by its hash.

    Args:
        work: folder that keeps it.

    Raises:
        IVGError: this is no clone with its whole history.
    """
    path = work / "base.safetensors"
    if not path.exists():
        try:
            said = subprocess.run(["git", "-C", str(ROOT), "cat-file", "blob", BASE_BLOB], capture_output=True)
        except FileNotFoundError:
            said = None
        if said is None or said.returncode:
            raise IVGError(
                "The base weights of Table 2 lie in the history of this repository, which is not here: clone it whole "
                "(`git fetch --unshallow` completes a shallow clone), or give others with --model, such as what "
                "`python -m recipes.embedded --stage2-steps 1200 2900 0 --out base.safetensors` makes in some hours."
            )
        with atomic_write(path) as partial:
            partial.write_bytes(said.stdout)
    if hashlib.sha256(path.read_bytes()).hexdigest() != BASE_SHA256:
        raise IVGError(f"{path} is not the base of Table 2 (its SHA-256 is another): remove it, and it is made again.")
    return path


def table(figures: Mapping[str, float], work: Path) -> str:
    """The measured rows in Markdown, each beside the paper's HS-Err.

    Args:
        figures: of `bench_ablation`.
        work: folder in which it kept the clips.
    """
    lines = [
        f"| | paper: row | paper: HS-Err | {' | '.join(COLUMNS)} |",
        f"|---|---|---|{'---|' * len(COLUMNS)}",
    ]
    for row in ROWS:
        name, number, hs_err = PAPER[row]
        cells = [_cell(figures, key, row) for key in COLUMNS.values()]
        lines.append(
            f"| {name} | {number or '-'} | {'-' if hs_err is None else f'{hs_err:.5f}'} | {' | '.join(cells)} |"
        )
    generated = " ".join(f"--generated {row}={work / 'videos' / row}" for row in ROWS)
    counts = {name: f"{figures[key]:.0f}" for name, key in (("steps", "training_steps"), ("seeds", "seeds"))}
    about = ABOUT.format(legend=LEGEND, generated=generated, work=work, scenes=f"{figures['scenes']:.0f}", **counts)
    return "\n".join(lines) + "\n\n" + about


def _cell(figures: Mapping[str, float], key: str, row: str) -> str:
    value = figures.get(f"{key}_{row}")
    if value is None:  # no hand was found at all
        return "-"
    return f"{value:.3f}" + (f" ± {figures[f'hs_err_sd_{row}']:.3f}" if key == "hs_err" else "")


def write_table(figures: Mapping[str, float], work: Path, log: Callable[[str], None] = print) -> Path:
    """Show the table, and write it to ``<work>/table2.md``."""
    text = table(figures, work)
    path = work / "table2.md"
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
    log(text)
    return path
