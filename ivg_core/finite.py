"""NaN and infinity: which tensors hold them, and what made a network give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .errors import IVGError


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity. One pass over its values, and no copy.

    Args:
        tensor: of any real type; whole numbers always are finite.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.dtype.itemsize == 1:
        tensor = tensor.bfloat16()  # float8 knows no minimum; every value of it is one of bfloat16
    return bool(torch.isfinite(torch.stack(tensor.detach().aminmax())).all())  # NaN survives; far quicker than isfinite


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """The names of those that hold NaN or infinity, see `is_finite`."""
    return [name for name, tensor in tensors if not is_finite(tensor)]


def count_of(names: Sequence[str], total: int) -> str:
    """For a sentence: how many of how many tensors, and the first one's name."""
    return f"NaN or infinite values in {len(names)} of {total} tensors (first {names[0]})"


def spoilt_file(path: Path, names: Sequence[str], total: int) -> IVGError:
    """The error for a file that holds NaN or infinity in these of all its tensors."""
    return IVGError(
        f"{path} holds {count_of(names, total)}: it is damaged, or comes from a training that diverged; get it again, "
        "or take an earlier state of that training."
    )


def check_read(tensors: Mapping[str, Tensor], path: Path) -> None:
    """See that what was read from a file holds no NaN and no infinity.

    Raises:
        IVGError: it does.
    """
    if spoilt := not_finite(tensors.items()):
        raise spoilt_file(path, spoilt, len(tensors))


def overflow(network: nn.Module, what: str, dtype: torch.dtype) -> IVGError:
    """The error for a network that gave NaN or infinity, with its cause.

    Args:
        network: looked through for spoilt weights.
        what: to call it in the sentence, e.g. "The autoencoder".
        dtype: in which it computes.
    """
    weights = dict(network.named_parameters())
    if spoilt := not_finite(weights.items()):
        cause = f"its weights hold {count_of(spoilt, len(weights))}"
        cure = "load the model anew; if a LoRA was added, lower its strength"
    elif dtype == torch.float16:
        cause, cure = "its numbers overflowed in torch.float16", "load the model in bfloat16 or float32"
    else:
        cause = f"its numbers overflowed even in {dtype}"
        cure = "lower the strength of LoRAs and the guidance; without either, the checkpoint is spoilt: get it again"
    return IVGError(f"{what} gave NaN or infinite values, because {cause}: {cure}.")
