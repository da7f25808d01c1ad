"""Inputs that stand alike on more than one node."""

from comfy_api.latest import io

from ._compat import supported

NoisePriorSocket = io.Custom("IVG_NOISE_PRIOR")
OptionsSocket = io.Custom("IVG_SAMPLER_OPTIONS")
PromptScheduleSocket = io.Custom("IVG_PROMPT_SCHEDULE")
BoxTrack = io.Custom("IVG_BOX_TRACK")
PlanSocket = io.Custom("IVG_PLAN")
StepSocket = io.Custom("IVG_STEP")
HowToSocket = io.Custom("IVG_HOW_TO")

#: What the list says -> what the library calls it.
UNITS = {"pixels": "pixels", "1/1000 of the width": "thousandths"}


def steps_input() -> io.Int.Input:
    """In how many steps noise becomes a video."""
    return io.Int.Input(
        "steps",
        default=0,
        min=0,
        max=1000,
        tooltip="Denoising steps. 0 takes what the model was made for (25 for the published ones).",
    )


def denoising_inputs() -> list:
    """Steps and guidance, the same for both stages."""
    return [
        steps_input(),
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


def frames_input() -> io.Int.Input:
    """How long a video of a photo is."""
    return io.Int.Input(
        "frames",
        default=0,
        min=0,
        max=1024,
        tooltip="Frames of the video. 0 takes what the model was made for (16 for the published ones).",
    )


def motion_input() -> io.Float.Input:
    """How much moves in it."""
    return io.Float.Input(
        "motion_strength",
        default=5.0,
        min=0.0,
        max=100.0,
        step=0.1,
        tooltip="How much moves: 3 to 8 is usual, 1 is calm, 20 is wild.",
    )


def size_inputs() -> list:
    """How large it is."""
    advanced = supported(io.Int.Input, advanced=True)
    return [
        io.Int.Input(
            "width",
            default=0,
            min=0,
            max=8192,
            step=8,
            tooltip="Width of the video, a multiple of 8. 0 follows from the photo and the size the model was "
            "trained for.",
            **advanced,
        ),
        io.Int.Input(
            "height",
            default=0,
            min=0,
            max=8192,
            step=8,
            tooltip="Height of the video, a multiple of 8. 0 follows from the photo and the size the model was "
            "trained for.",
            **advanced,
        ),
    ]


def region_input() -> io.Mask.Input:
    """Where it moves."""
    return io.Mask.Input(
        "mask",
        optional=True,
        tooltip="The region of motion; white moves. Without it everything may move. With several photos a "
        "batch of as many masks is taken one each; any other batch is united into one mask.",
    )


def mask_seed_input() -> io.Int.Input:
    """The seed of a mask video."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=True,
        tooltip="The same seed gives the same mask; on another device up to rounding.",
    )


def threshold_input() -> io.Float.Input:
    """From which value on a mask video says that something moves."""
    return io.Float.Input(
        "threshold",
        default=0.5,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="Pixels with at least this value count as moving; lower makes the region larger.",
    )


def feather_input() -> io.Float.Input:
    """How wide the seam is where a clip is laid over its photo."""
    return io.Float.Input(
        "feather",
        default=-1.0,
        min=-1.0,
        max=256.0,
        step=0.5,
        tooltip="Width of the seam in pixels, outside the mask. -1 takes 1/32 of the video's shorter side.",
    )


def correct_colour_input() -> io.Boolean.Input:
    """Whether a clip is laid over its photo in the photo's colours."""
    return io.Boolean.Input(
        "correct_colour",
        default=True,
        tooltip="Brings each frame's brightness and contrast back to the photo's, by what has changed outside the "
        "region of motion.",
    )


def unit_input(what: str) -> io.Combo.Input:
    """In what lengths are told: an optional input at the end, so that workflows without it mean pixels as before.

    Args:
        what: the names of the widgets that it is for.
    """
    return io.Combo.Input(
        "unit",
        options=list(UNITS),
        default="pixels",
        optional=True,
        tooltip=f"What {what} count. With 1/1000 of the width they mean what they would if the picture were 1000 "
        "pixels wide: the same on a photo of any size.",
    )


def noise_prior_input():
    """A clip whose motion shines through."""
    return NoisePriorSocket.Input(
        "noise_prior",
        optional=True,
        tooltip="From IVG Invert Video: a clip whose motion shines through. Mixed into the noise of the seed.",
    )


def boxes_input(to_know: str):
    """Where things are to be over time.

    Args:
        to_know: which models take it, and what else the tooltip says.
    """
    return BoxTrack.Input("boxes", optional=True, tooltip=f"From IVG Box Track: where things go. {to_know}")


def options_input():
    """How a video is sampled."""
    return OptionsSocket.Input("options", optional=True, tooltip="From IVG Sampler Options, or IVG Windows.")


def schedule_input(does: str):
    """Several sentences over time.

    Args:
        does: what the node does with them.
    """
    return PromptScheduleSocket.Input("schedule", optional=True, tooltip=f"From IVG Prompt Schedule: {does}")
