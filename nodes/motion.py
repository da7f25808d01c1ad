"""IVGMotionClip collects clips, and IVGTrainMotion learns the motion that they share, or what pictures look like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..ivg_core.errors import IVGError
from ._clips import MASKS, MASKS_ALONE, connected_clips
from ._compat import found_by
from ._model import IVGModelSocket
from ._notes import noted
from ._training import device_settings, learning_inputs, run_folder, run_inputs, run_outputs, run_training

if TYPE_CHECKING:
    from ..ivg_core.training.config import TrainConfig
    from ..ivg_core.training.data.sources import TrainingClip

ClipsSocket = io.Custom("IVG_CLIPS")
MOTION, LOOKS = "the motion of the clips", "what the pictures look like"


@dataclass(frozen=True)
class Clips:
    """What travels along an IVG_CLIPS link: the clips so far, in order."""

    each: tuple[TrainingClip, ...]


class IVGMotionClip(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGMotionClip",
            display_name="IVG Motion Clip",
            category="IVG/training",
            **found_by("dataset", "motiondirector", "training clips", "reference video"),
            description="One clip and its sentence, for IVG Train Motion. Connect one of these nodes to the next to "
            "give several clips.",
            inputs=[
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    placeholder="The person turns the dough with both hands",
                    tooltip="What happens in this clip, in one sentence; the action in the same words in every clip.",
                ),
                io.Image.Input("images", optional=True, tooltip="The frames of the clip, in order; or one picture."),
                io.Video.Input("video", optional=True, tooltip="The clip, in place of images."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What moves in it, for models that take a photo: one mask, or one a frame. Without it the "
                    "mask is made as IVG Train Motion says.",
                ),
                ClipsSocket.Input("clips", optional=True, tooltip="The clips before, from another IVG Motion Clip."),
            ],
            outputs=[
                ClipsSocket.Output(display_name="clips", tooltip="All clips so far, for IVG Train Motion."),
                io.String.Output(display_name="summary", tooltip="What there is so far, one line a clip."),
            ],
        )

    @classmethod
    @noted
    def execute(cls, prompt, images=None, video=None, mask=None, clips=None) -> io.NodeOutput:
        sentence = " ".join(prompt.split())
        (clip,) = connected_clips(images, video, mask, sentence, node="IVG Motion Clip", picture=True)
        before = clips.each if clips else ()
        every = (*before, replace(clip, name=f"clip {len(before) + 1}"))
        return io.NodeOutput(Clips(every), "\n".join(map(_summary, every)))


def _summary(clip: TrainingClip) -> str:
    facts = clip.media.facts()
    masked = ", with a mask" if clip.mask is not None else ""
    frames = f"{facts.frames} frames" if facts.frames > 1 else "one picture"
    return f"{clip.name}: {frames}, {facts.width} x {facts.height}{masked}: {clip.caption}"


class IVGTrainMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGTrainMotion",
            display_name="IVG Train Motion",
            category="IVG/training",
            **found_by("motiondirector", "motion lora", "learn motion", "copy motion", "train motion"),
            description="Learns how things move in one or a few clips, apart from what they look like, to be used with "
            "your own photo or sentence (MotionDirector). Cancel keeps what was learned; run again to go on.",
            inputs=[
                IVGModelSocket.Input(
                    "model", tooltip="The model to build on, one for photos or one for sentences; it is not changed."
                ),
                ClipsSocket.Input("clips", tooltip="From IVG Motion Clip."),
                io.String.Input(
                    "save_name",
                    default="my_motion",
                    tooltip="Name of the LoRA: models/loras/ivg/<name>.safetensors. The run itself, with what each "
                    "clip looks like in a file of its own, is kept in output/ivg_training/<name>.",
                ),
                io.Combo.Input(
                    "learn",
                    options=[MOTION, LOOKS],
                    default=MOTION,
                    tooltip="The motion, with what each clip looks like kept apart from it; or only what pictures look "
                    "like, to be used beside a motion.",
                ),
                io.Int.Input(
                    "steps",
                    default=300,
                    min=1,
                    max=1_000_000,
                    tooltip="Training steps in all, those of a run that is resumed included. 150 to 300 for one clip, "
                    "300 to 500 for several, 1000 for many pictures. Too many copy the clip and not its motion.",
                ),
                *learning_inputs(rank=32, learning_rate=5e-4),
                io.Float.Input(
                    "debias",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Weight of the loss that takes out what all frames share, so that the motion holds little "
                    "of what the clips look like. 0 leaves it out.",
                ),
                io.Combo.Input(
                    "masks",
                    options=MASKS_ALONE,
                    default="hands",
                    tooltip="What moves in clips that bring no mask, for models that take a photo: hands, with or "
                    "without forearms, or everything. Models for sentences read no mask.",
                ),
                *run_inputs(),
            ],
            outputs=run_outputs(),
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, model, clips, save_name, learn, steps, rank, learning_rate, debias, masks, frames, width, height,
        training_seed, resume,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.training.data.settings import DataSettings

        if learn == MOTION and (still := next((clip for clip in clips.each if clip.media.facts().frames == 1), None)):
            raise IVGError(f"{still.name} is one picture, in which nothing moves: give a clip, or learn {LOOKS}.")
        run = run_folder(save_name, resume)
        settings = DataSettings(
            source="this node",
            masks=MASKS[masks],
            frames=frames or model.model.defaults.num_frames,
            width=width,
            height=height,
        )
        config = motion_config(run, learn, len(clips.each), steps, rank, learning_rate, debias, training_seed)
        config = replace(config, **device_settings(model.model))
        return run_training(cls.hidden.unique_id, model, config, settings, list(clips.each), resume, own_mask=True)


def motion_config(
    run: Path, learn: str, clips: int, steps: int, rank: int, learning_rate: float, debias: float, seed: int
) -> TrainConfig:
    """The settings of the preset for so many clips or pictures, with those that the node asks for."""
    from ..ivg_core.training.config import read_config

    one, several = ("motion-one-video", "motion-videos") if learn == MOTION else ("looks-one-image", "looks-images")
    asked: dict[str, Any] = {
        "out": str(run),
        "name": run.name,
        "steps": steps,
        "learning_rate": learning_rate,
        "seed": seed,
        "keep_last": 1,
    }
    config = read_config(one if clips == 1 else several, asked)
    lora = {role: replace(settings, rank=rank) for role, settings in config.lora.items()}
    paths = [
        replace(path, losses=path.losses | ({"debiased": debias} if "debiased" in path.losses else {}))
        for path in config.paths
    ]
    return replace(config, lora=lora, paths=paths)
