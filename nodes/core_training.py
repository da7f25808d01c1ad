"""IVGTrainCoreLoRA: the paper's two stages as a LoRA on a video model of ComfyUI's own."""

from __future__ import annotations

from comfy_api.latest import io

from ._clips import (
    MASK_FOLDER,
    MASKS_ALONE,
    check_clips,
    clip_inputs,
    connected_clips,
    folder_input,
    folder_of,
    prompt_input,
    source_settings,
)
from ._compat import found_by
from ._notes import noted
from ._training import learning_inputs, run_folder, run_inputs, trained_outputs
from .loaders import state_of

STAGES = ["1: the mask", "2: the video"]
NAME = "IVG Train RoM LoRA"


class IVGTrainCoreLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGTrainCoreLoRA",
            display_name=NAME,
            category="IVG/training",
            **found_by("wan lora", "ltx lora", "hunyuan lora", "train lora", "finetune", "region of motion"),
            description="Teaches a video model of ComfyUI's own (Wan 2.2 5B, Wan 2.1 and 2.2 I2V 14B, LTXV, "
            "HunyuanVideo) to predict the region of motion from photo and sentence (stage 1), or an action with its "
            "hands (stage 2). The LoRA is one for core's LoraLoaderModelOnly. Cancel keeps what was learned; run again "
            "to go on.",
            inputs=[
                io.Model.Input("model", tooltip="An image-to-video model; it is not changed."),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                io.Clip.Input("clip", tooltip="The model's text encoder."),
                prompt_input(),
                io.String.Input(
                    "save_name",
                    default="my_rom",
                    tooltip="Name of the LoRA: models/loras/ivg/<name>.safetensors. The run itself is kept in "
                    "output/ivg_training/<name>.",
                ),
                io.Combo.Input(
                    "stage",
                    options=STAGES,
                    default=STAGES[0],
                    tooltip="1 learns to make the mask video of where things will move, for IVG Predict RoM (any "
                    "model). 2 learns the video itself.",
                ),
                io.Int.Input(
                    "steps",
                    default=1500,
                    min=1,
                    max=1_000_000,
                    tooltip="Training steps in all, those of a run that is resumed included. 300 to 1000 for one clip, "
                    "2000 and more for a folder.",
                ),
                *learning_inputs(rank=32, learning_rate=1e-4),
                io.Float.Input(
                    "inside",
                    default=2.0,
                    min=1.0,
                    max=100.0,
                    step=0.5,
                    tooltip="Stage 2: how much more the region of motion counts than the rest of the picture.",
                ),
                io.Float.Input(
                    "hand_loss",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Stage 2: weight of the hand structure loss, 1 in the paper: hands shall have their joints "
                    "where the clip has them. It decodes a part of the picture, which takes memory and time. 0 leaves "
                    "it out.",
                ),
                io.Combo.Input(
                    "masks",
                    options=[*MASKS_ALONE, MASK_FOLDER],
                    default="hands",
                    tooltip="What moves in the clips, where no mask is connected: found from the hands, with or "
                    "without forearms; everything (stage 2 only); or read from the folder named masks inside the "
                    "folder of clips (<clip>.png, or <clip>/ with one picture a frame).",
                ),
                folder_input(),
                io.Float.Input(
                    "noise_from",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    round=0.001,
                    tooltip="The least noise that is trained, 0 is none. Of Wan 2.2 I2V 14B the expert for high noise "
                    "knows 0.9 to 1, the other 0 to 0.9; one run for each.",
                ),
                io.Float.Input(
                    "noise_to",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    round=0.001,
                    tooltip="The most noise that is trained, 1 is all; see noise_from.",
                ),
                io.Boolean.Input(
                    "tell_region",
                    default=False,
                    tooltip="Stage 2: the model is told the region of motion, as the IVG Apply RoM nodes tell it, and "
                    "the clip is held still outside. Off: it is only weighed by it.",
                ),
                io.Boolean.Input(
                    "on_top_of_loras",
                    default=False,
                    tooltip="Allows a model with LoRAs on it: what is learned then belongs with them. On top of a LoRA "
                    "for few steps training goes badly.",
                ),
                *run_inputs("0 takes 33 frames.", "0 takes 480.", step=32),
                *clip_inputs(),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="Of Wan 2.1 I2V only: its CLIP vision model, through which it also sees the photo.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model with the LoRA on it."),
                *trained_outputs("The LoRA's file; choose it in core's LoraLoaderModelOnly."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, folder="", **others):
        return state_of(str(folder_of(folder))) if folder.strip() else None

    @classmethod
    @noted
    def execute(
        cls, model, vae, clip, prompt, save_name, stage, steps, rank, learning_rate, inside, hand_loss, masks, folder,
        noise_from, noise_to, tell_region, on_top_of_loras, frames, width, height, training_seed, resume,
        images=None, video=None, mask=None, clip_vision=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.errors import IVGError
        from ._core_backbone import CoreBackbone
        from ._core_training import core_config, data_settings, run_core_training

        if model.patches and not on_top_of_loras:
            raise IVGError(
                "There are LoRAs on this model: connect the model from before them, or switch on_top_of_loras on to "
                "learn what belongs with them."
            )
        backbone = CoreBackbone(model, vae, noise_from, noise_to, tell_region)
        run = run_folder(save_name, resume)
        clips = connected_clips(images, video, mask, prompt, folder, NAME)
        settings = data_settings(
            backbone,
            **source_settings(prompt, folder, masks),
            frames=frames,
            width=width,
            height=height,
        )
        if clips is None:
            check_clips(settings)
        number = int(stage[0])
        config = core_config(run, backbone, number, steps, rank, learning_rate, inside, hand_loss, training_seed)
        return run_core_training(cls.hidden.unique_id, backbone, clip, config, settings, clips, resume, clip_vision)
