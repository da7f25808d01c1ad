"""Where networks compute."""

from __future__ import annotations

import torch

from .errors import IVGError


def usable_device(name: str | torch.device) -> torch.device:
    """The device of a name, if it can compute.

    Raises:
        IVGError: there is none of that name, this machine has none, or this PyTorch cannot use it.
    """
    try:
        device = torch.device(name)
        torch.ones(1, device=device).sum().item()
    except Exception as error:  # each kind of device fails in a way of its own
        there = [kind for kind, module in (("cuda", torch.cuda), ("mps", torch.mps)) if _counts(module)]
        raise IVGError(
            f"There is no device {str(name)!r} to compute on here ({str(error).splitlines()[0]}): choose "
            f"{' or '.join(['cpu', *there])}."
        ) from error
    return device


def _counts(module) -> bool:
    return module.device_count() > 0
