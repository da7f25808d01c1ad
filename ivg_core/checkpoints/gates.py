"""Gates for boxes in a small file of their own, for a model that is published without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import IVGError
from ..media.files import atomic_write
from ..media.targets import user_path
from ..models.add_gates import with_gates
from ..models.grounding import OF_BOXES
from ..models.provenance import Part, stated_licence
from ..models.unet import IVGUNet
from .embedded import EMBEDDED_GATES
from .weights import is_safetensors, read_metadata, read_tensors
from .write import save_tensors

FORMAT = "ivg-gates-1"


def is_of_gates(name: str) -> bool:
    """Whether a weight of this name is one of the gates."""
    return ".fuser." in name or name.startswith("position_net.")


def save_gates(unet: IVGUNet, path: str | Path, metadata: Mapping[str, str]) -> Path:
    """Writes the gates of a network, in half precision.

    Args:
        unet: with gates of `OF_BOXES`.
        path: ends in .safetensors.
        metadata: further text to carry, such as `licence` and `card`.

    Raises:
        IVGError: the network has other gates, which belong to its other weights, or none; the path cannot be written.
    """
    kind = unet.config["gates"]
    if kind not in OF_BOXES:
        raise IVGError(
            f'Gates of their own are "{" or ".join(OF_BOXES)}", and this network has "{kind}": save it whole.'
        )
    kept = {name: t.detach().cpu().half().contiguous() for name, t in unet.state_dict().items() if is_of_gates(name)}
    path = user_path(path)
    with atomic_write(path) as temporary:
        save_tensors(kept, temporary, {**metadata, "format": FORMAT, "gates": kind})
    return path


def holds_gates(path: str | Path) -> bool:
    """Whether a file holds gates for boxes; False where it cannot be read."""
    path = Path(path)
    try:
        return path.is_file() and is_safetensors(path) and read_metadata(path).get("format") == FORMAT
    except (IVGError, OSError):
        return False


def read_gates(source: str | Path, unet: IVGUNet) -> IVGUNet:
    """A copy of a network with the gates of a file.

    Args:
        source: "embedded", for the embedded model's own, or a file of `save_gates`.
        unet: stays as it is.

    Raises:
        IVGError: there is no such file, or its gates are for another network.
    """
    path = _file_of(source)
    if not path.is_file():
        raise IVGError(f'There are no gates for boxes at {path}: give a file of them, or "embedded".')
    if not holds_gates(path):
        raise IVGError(f"{path} holds no gates for boxes: give a file that the training of such gates wrote.")
    gated = with_gates(unet, read_metadata(path).get("gates", "boxes"))
    tensors = read_tensors(path, "", unet.dtype, unet.device)
    needed = {name: tensor.shape for name, tensor in gated.state_dict().items() if is_of_gates(name)}
    if {name: tensor.shape for name, tensor in tensors.items()} != needed:
        raise IVGError(f"The gates for boxes in {path} are for another model: take those that were made for this one.")
    gated.load_state_dict(tensors, strict=False)
    return gated


def part_of_gates(source: str | Path) -> Part:
    """What a model is made of, that has the gates of a file."""
    path = _file_of(source)
    return Part("gates", path.name, stated_licence(read_metadata(path)))


def _file_of(source: str | Path) -> Path:
    return EMBEDDED_GATES if str(source) == "embedded" else user_path(source)
