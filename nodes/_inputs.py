"""Inputs that stand alike on more than one node."""

from comfy_api.latest import io


def denoising_inputs() -> list:
    """Steps and guidance, the same for both stages."""
    return [
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=1000,
            tooltip="Denoising steps. 0 takes what the model was made for (25 for the published ones).",
        ),
        io.Float.Input(
            "guidance",
            default=0.0,
            min=0.0,
            max=50.0,
            step=0.1,
            tooltip="How strongly the sentence is followed; 1 is without guidance, in half the time. 0 takes "
            "what the model was made for (9 for the published ones).",
        ),
    ]
