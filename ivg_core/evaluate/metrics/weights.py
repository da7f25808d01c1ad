"""The networks that metrics look through: what each is, who publishes it, its licence, and where it is expected.

Nothing is downloaded by metrics: one whose network is missing says so and is not computed. `download --metrics` fetches
a network by its name.
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
        url: of the one file, where it can be fetched without a browser.
        sha256: of that file, as others state it; "" where nobody does.
        repo: on the Hugging Face hub, which states the checksum of each file.
        files: of that repository.
    """

    about: str
    source: str
    licence: str
    places: tuple[str, ...]
    inside: str = ""
    url: str = ""
    sha256: str = ""
    repo: str = ""
    files: tuple[str, ...] = ()

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
        raise IVGError(f"needs {self.about} ({self.source}; {self.licence}): {where}; download --metrics fetches it")


#: Of a model in transformers' layout: its weights in either form, and its tokenizer in whichever.
_TRANSFORMERS = (
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)

CLIP = Network(
    about="a CLIP model in transformers' layout, such as openai/clip-vit-large-patch14",
    source="https://huggingface.co/openai/clip-vit-large-patch14",
    licence="MIT, as OpenAI's CLIP",
    places=("clip",),
    inside="config.json",
    repo="openai/clip-vit-large-patch14",
    files=_TRANSFORMERS,
)
INCEPTION = Network(
    about="the Inception network of FID, pt_inception-2015-12-05-6726825d.pth",
    source="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    licence="Apache-2.0",
    places=("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    # Its own name states how it begins; all of it stands in the sources of several projects that check it.
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
I3D = Network(
    about="I3D trained on Kinetics-400 as TorchScript (a program, which is run: trust its source), i3d_torchscript.pt",
    source="https://github.com/universome/fvd-comparison",
    licence="weights Apache-2.0, by DeepMind; the file itself states none",
    places=("i3d_torchscript.pt",),
    url="https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1",
)
EGOVLP = Network(
    about="EgoVLP, egovlp.pth (or epic_mir_plus.pth, tuned on Epic-Kitchens)",
    source="https://github.com/showlab/EgoVLP",
    licence="MIT",
    places=("egovlp.pth", "epic_mir_plus.pth"),
    url="https://drive.usercontent.google.com/download?id=1-cP3Gcg0NGDcMZalgJ_615BQdbFIbcj7&export=download&confirm=t",
)
BLIP = Network(
    about="a BLIP captioner in transformers' layout, such as Salesforce/blip-image-captioning-large",
    source="https://huggingface.co/Salesforce/blip-image-captioning-large",
    licence="BSD-3-Clause",
    places=("blip",),
    inside="config.json",
    repo="Salesforce/blip-image-captioning-large",
    files=_TRANSFORMERS,
)

#: By the names that people fetch them by.
NETWORKS = {"inception": INCEPTION, "i3d": I3D, "clip": CLIP, "egovlp": EGOVLP, "blip": BLIP}
