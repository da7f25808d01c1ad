"""The networks that metrics look through: what each is, who publishes it, its licence, and where it is expected.

Nothing is downloaded. A metric whose network is missing says so and is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import IVGError


@dataclass(frozen=True)
class Network:
    """Published weights that a metric needs.

    Attributes:
        about: what it is.
        source: the page where its makers publish it.
        licence: as they state it.
        places: file names or folders below the folder of weights, any one of which will do.
        inside: a file that a folder must hold.
    """

    about: str
    source: str
    licence: str
    places: tuple[str, ...]
    inside: str = ""

    def find(self, folder: Path | None) -> Path:
        """Where it lies.

        Raises:
            IVGError: it is not there; says what to get and where to put it.
        """
        candidates = [folder / place for place in self.places] if folder else []
        for path in candidates:
            if (path / self.inside).is_file() if self.inside else path.is_file():
                return path
        if folder:
            where = f"put it at {folder / self.places[0]}"
        else:
            where = f"put it, called {self.places[0]}, into a folder and give that with --weights"
        raise IVGError(f"needs {self.about} ({self.source}; {self.licence}): {where}")


CLIP = Network(
    about="a CLIP model in transformers' layout, such as openai/clip-vit-large-patch14",
    source="https://huggingface.co/openai/clip-vit-large-patch14",
    licence="MIT, as OpenAI's CLIP",
    places=("clip",),
    inside="config.json",
)
INCEPTION = Network(
    about="the Inception network of FID, pt_inception-2015-12-05-6726825d.pth",
    source="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    licence="Apache-2.0",
    places=("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
)
I3D = Network(
    about="I3D trained on Kinetics-400 as TorchScript (a program, which is run: trust its source), i3d_torchscript.pt",
    source="https://github.com/universome/fvd-comparison",
    licence="weights Apache-2.0, by DeepMind; the file itself states none",
    places=("i3d_torchscript.pt",),
)
EGOVLP = Network(
    about="EgoVLP, egovlp.pth (or epic_mir_plus.pth, tuned on Epic-Kitchens)",
    source="https://github.com/showlab/EgoVLP",
    licence="MIT",
    places=("egovlp.pth", "epic_mir_plus.pth"),
)
BLIP = Network(
    about="a BLIP captioner in transformers' layout, such as Salesforce/blip-image-captioning-large",
    source="https://huggingface.co/Salesforce/blip-image-captioning-large",
    licence="BSD-3-Clause",
    places=("blip",),
    inside="config.json",
)
