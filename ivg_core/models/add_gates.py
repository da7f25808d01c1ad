"""Gates for boxes in a network that has none, or that has none for the photo yet."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import IVGError
from .grounding import GATES, OF_BOXES, sees_photo
from .unet import IVGUNet

#: Of the released visual encoder.
VISUAL_WIDTHS = (256, 512, 1024, 1024)


def with_gates(unet: IVGUNet, gates: str, visual_widths: Sequence[int] = VISUAL_WIDTHS, seed: int = 0) -> IVGUNet:
    """A copy of a network with gates, which are closed: its predictions stay what they were.

    A text-to-video network whose gates see the photo also gets it beside each frame, in four more input channels that
    begin at zero.

    Args:
        unet: stays as it is; the gates that it has are taken over.
        gates: a key of `GATES`.
        visual_widths: channels of the levels of the photo's encoder, where the gates see the photo.
        seed: of the weights that begin random.

    Returns:
        The copy, in the mode, dtype and on the device of `unet`.

    Raises:
        IVGError: it is an image model, there are no such gates, or the network has others already, or one that sees
            the photo in its own way.
    """
    if not isinstance(unet, IVGUNet):
        raise IVGError("An image model made a video model can have no gates for boxes: leave boxes out.")
    had = unet.config["gates"]
    if gates not in GATES:
        raise IVGError(f"There are no gates {gates!r}: choose {', '.join(GATES)}.")
    if had not in ("", "boxes", gates):
        raise IVGError(f'The network has gates "{had}" and cannot get "{gates}" beside them: choose "{had}".')
    if gates == "carry" and not unet.config["photo"]:
        raise IVGError('Gates "carry" are for a network of IVG, which has the photo as its first frame: take "boxes".')
    if gates not in OF_BOXES and unet.config["photo"]:
        raise IVGError('A network of IVG sees the photo as its first frame: give it gates "boxes" or "carry".')
    config = {**unet.config, "gates": gates}
    if gates not in OF_BOXES and not sees_photo(unet.config):
        config |= {"visual_widths": tuple(visual_widths), "in_channels": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = IVGUNet.from_config_dict(config)
    weights, before = made.state_dict(), unet.state_dict()
    first = weights["conv_in.weight"].zero_()
    first[:, : before["conv_in.weight"].shape[1]] = before["conv_in.weight"]
    made.load_state_dict({**before, "conv_in.weight": first}, strict=False)
    made = made.to(unet.device).train(unet.training)
    return made if unet.dtype == torch.float32 else made.to(unet.dtype)
