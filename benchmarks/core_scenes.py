"""Does a LoRA of stage 1 on a core video model find the region of motion in scenes it never saw, and heed the sentence?

    python benchmarks/core_scenes.py COMFYUI --work DIR

Run by ComfyUI's Python; prints JSON. Nothing is downloaded: a small network of core's own class for Wan 2.2 I2V 14B and
its autoencoder are trained from nothing on drawn scenes, then a LoRA on them by our trainer. Sampled is by core. Every
part is kept in DIR, and one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("comfyui", help="folder of ComfyUI")
parser.add_argument("--work", type=Path, required=True, help="folder of scenes, checkpoints and the contact sheet")
ARGS = parser.parse_args()
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "comfyui")]
sys.argv[1:] = [ARGS.comfyui]

import rom_in_core  # noqa: E402, F401 (finds ComfyUI and loads the pack)

# isort: split
import core_scenes_base as base  # noqa: E402
import core_scenes_drawn as drawn  # noqa: E402
import core_scenes_lora as lora  # noqa: E402
import core_scenes_vae as autoencoder  # noqa: E402
import torch  # noqa: E402
from core_scenes_latents import encoded  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

from ivg_pack.ivg_core.checkpoints.load import load_model  # noqa: E402
from ivg_pack.ivg_core.evaluate.metrics.motion import mask_iou  # noqa: E402
from ivg_pack.ivg_core.media.contact_sheet import tile_sheet  # noqa: E402
from ivg_pack.nodes._core_backbone import CoreBackbone  # noqa: E402
from ivg_pack.nodes._core_sample import Sampled, sample_frames  # noqa: E402

SCENES, OF_AUTOENCODER, CHOOSING, HELD_OUT = 800, 150, 12, 60
DENOISING_STEPS, GUIDANCE = 12, (1.0, 3.0)
CUTS = (0.2, 0.3, 0.4, 0.5)
SHOWN = 6  # scenes on the contact sheet


@dataclass
class Regions:
    """What a model makes of N scenes.

    Attributes:
        found: regions (N, 1 or 2, H, W) of 0 and 1, of each scene's first sentence or of both.
        true: (N, 2, H, W).
    """

    found: Tensor
    true: Tensor

    @property
    def miou(self) -> float:
        """Mean IoU of the region of a scene's first sentence."""
        return fmean(mask_iou(found[0], true[0]) for found, true in zip(self.found, self.true, strict=True))

    @property
    def follows_text(self) -> float:
        """Share of scenes in which the region of the second sentence is more like its own than like the first one's."""
        pairs = [(mask_iou(a[1], b[1]), mask_iou(a[1], b[0])) for a, b in zip(self.found, self.true, strict=True)]
        return fmean(own > other for own, other in pairs)


class Measured:
    """Core's sampler at work on drawn scenes.

    Args:
        vae: the autoencoder.
        language: the model whose text encoder is used.
        clips: the scenes.
    """

    def __init__(self, vae, language, clips: drawn.Clips):
        self.vae, self.language, self.clips = vae, language, clips
        self.true = torch.from_numpy(clips.regions).float()

    def photo(self, scene: int) -> Tensor:
        """(H, W, 3), 0..1."""
        return self.clips.video(scene, 0)[0]

    def regions(self, model, guidance: float, tasks: int = drawn.TASKS) -> Regions:
        """The regions of all scenes, of so many of each one's sentences."""
        backbone = CoreBackbone(model, self.vae)
        how = Sampled(DENOISING_STEPS, guidance)
        found = []
        for scene, texts in enumerate(self.clips.texts):
            said = base.sentences(self.language, [*texts[:tasks], ""])
            untold = backbone.told(said[-1], self.photo(scene), drawn.FRAMES)
            tolds = [replace(untold, text=text) for ((text, _),) in said[:-1]]
            shape = untold.also["concat_latent_image"].shape
            videos = [sample_frames(model, self.vae, told, untold, shape, scene, how) for told in tolds]
            found.append(torch.stack([(video[1:].mean(-1) >= 0.5).any(0).float() for video in videos]))
        return Regions(torch.stack(found), self.true)


def main() -> dict[str, float]:
    torch.set_flush_denormal(True)  # vanishing gradients would otherwise slow a CPU down tenfold
    work, language = ARGS.work, load_model("embedded")
    scenes = work / "scenes"
    training = drawn.drawn(scenes, 0, SCENES)
    vae = autoencoder.trained_vae(work, training.first(OF_AUTOENCODER))
    latents = encoded(work / "latents", base.untrained(), vae, training)
    model = base.trained_base(work, vae, language, latents, training.texts)
    learned, seconds = lora.trained_lora(work / "stage1", model, vae, lora.SceneClips(latents, training, language))
    choosing = Measured(vae, language, drawn.drawn(scenes, drawn.CHOOSING, CHOOSING))
    chosen = {guidance: choosing.regions(learned, guidance, 1).miou for guidance in GUIDANCE}
    print("mean IoU by guidance, on scenes for choosing:", chosen)
    guidance = max(chosen, key=chosen.__getitem__)
    heldout = Measured(vae, language, drawn.drawn(scenes, drawn.HELD_OUT, HELD_OUT))
    found, without = heldout.regions(learned, guidance), heldout.regions(model, guidance, 1)
    save_sheet(work / "sheet.png", heldout, found, without)
    true = heldout.true
    return {
        "heldout_miou_with": found.miou,
        "heldout_miou_without": without.miou,
        "follows_text": found.follows_text,
        "heldout_miou_constant": constant_miou(training, choosing, heldout),
        "true_regions_miou": fmean(mask_iou(first, second) for first, second in true),
        "guidance": guidance,
        "vae_mask_iou": autoencoder.mask_iou_of(vae, heldout.clips),
        "parameters": sum(weight.numel() for weight in model.model.diffusion_model.parameters()),
        "scenes": SCENES,
        "heldout_scenes": HELD_OUT,
        "base_steps": base.STEPS,
        "lora_steps": lora.STEPS,
        "vae_seconds": sum(spent(work, name) for name in autoencoder.COURSES),
        "base_seconds": spent(work, "base"),
        "lora_seconds": seconds,
    }


def constant_miou(training: drawn.Clips, choosing: Measured, heldout: Measured) -> float:
    """Of one region for all scenes: the mean of the trained ones, cut where it does best on the scenes for choosing."""
    mean = torch.from_numpy(training.regions[:, 0]).float().mean(0)

    def miou(scenes: Measured, cut: float) -> float:
        return fmean(mask_iou((mean >= cut).float(), true[0]) for true in scenes.true)

    return miou(heldout, max(CUTS, key=lambda cut: miou(choosing, cut)))


def spent(work: Path, name: str) -> float:
    """Seconds that a training by `fit` took."""
    return torch.load(work / f"{name}.pt", weights_only=True)["seconds"]


def save_sheet(path: Path, heldout: Measured, found: Regions, without: Regions) -> None:
    """Two rows a scene: photo, true region, with the LoRA, without; of the other sentence the first three."""
    rows = []
    for scene in range(SHOWN):
        for task, sentence in enumerate(heldout.clips.texts[scene]):
            tiles = [(sentence, heldout.photo(scene)), ("true", found.true[scene, task])]
            tiles += [("with", found.found[scene, task]), *([("without", without.found[scene, 0])] if not task else [])]
            rows.append([(label, _picture(tile)) for label, tile in tiles])
    tile_sheet(rows, "Held-out scenes").save(path)


def _picture(tile: Tensor) -> Image.Image:
    levels = (tile * 255).round().byte()
    return Image.fromarray((levels if levels.ndim == 3 else levels[..., None].expand(-1, -1, 3)).numpy())


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        result = main()
    print(json.dumps(result))
