"""TrainIVGLoRA: a LoRA from the user's own clips, trained in ComfyUI's own process."""

from __future__ import annotations

from comfy_api.latest import io

from ._clips import (
    MASK_FOLDER,
    MASKS,
    check_clips,
    clip_inputs,
    connected_clips,
    folder_input,
    folder_of,
    prompt_input,
    source_settings,
)
from ._compat import found_by
from ._model import IVGModelSocket
from ._notes import noted
from ._training import learning_inputs, run_folder, run_inputs, run_outputs, run_training, training_config
from .loaders import state_of

STAGES = ["2: the video", "1: the mask"]


class TrainIVGLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TrainIVGLoRA",
            display_name="IVG Train LoRA",
            category="IVG/training",
            **found_by("fine-tune", "finetune", "motion lora", "instructional"),
            description="Learns an action, a tool or a kitchen from your clips. Give one clip (images or video) with "
            "its sentence, or a folder of clips. Cancel keeps what was learned; run again to go on.",
            inputs=[
                IVGModelSocket.Input("model", tooltip="The model to build on; it is not changed."),
                prompt_input(),
                io.String.Input(
                    "save_name",
                    default="my_action",
                    tooltip="Name of the LoRA: models/loras/ivg/<name>.safetensors. The run itself is kept in "
                    "output/ivg_training/<name>.",
                ),
                io.Combo.Input(
                    "stage",
                    options=STAGES,
                    default=STAGES[0],
                    tooltip="2 learns how things move in the video. 1 learns where they will move, for IVG Predict "
                    "RoM Mask.",
                ),
                io.Int.Input(
                    "steps",
                    default=500,
                    min=1,
                    max=1_000_000,
                    tooltip="Training steps in all, those of a run that is resumed included. 300 to 1000 for one clip.",
                ),
                *learning_inputs(rank=16, learning_rate=1e-4),
                io.Float.Input(
                    "hand_loss",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Weight of the hand structure loss, stage 2 only: hands shall have their joints where the "
                    "clip has them. It decodes frames, which takes memory and time; 0 leaves it out.",
                ),
                io.Combo.Input(
                    "masks",
                    options=[*MASKS, MASK_FOLDER],
                    default="hands",
                    tooltip="What moves in the clips, where no mask is connected: found from the hands, with or "
                    "without forearms; predicted by the model's stage 1; everything; or read from the folder named "
                    "masks inside the folder of clips (<clip>.png, or <clip>/ with one picture a frame).",
                ),
                folder_input(),
                *run_inputs(),
                *clip_inputs(),
            ],
            outputs=run_outputs(),
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, folder="", **others):
        return state_of(str(folder_of(folder))) if folder.strip() else None

    @classmethod
    @noted
    def execute(
        cls,
        model,
        prompt,
        save_name,
        stage,
        steps,
        rank,
        learning_rate,
        hand_loss,
        masks,
        folder,
        frames,
        width,
        height,
        training_seed,
        resume,
        images=None,
        video=None,
        mask=None,
    ) -> io.NodeOutput:
        from ..ivg_core.training.data.settings import DataSettings

        run = run_folder(save_name, resume)
        clips = connected_clips(images, video, mask, prompt, folder)
        settings = DataSettings(
            **source_settings(prompt, folder, masks),
            frames=frames or model.model.defaults.num_frames,
            width=width,
            height=height,
        )
        if clips is None:
            check_clips(settings)
        config = training_config(model.model, run, int(stage[0]), steps, rank, learning_rate, hand_loss, training_seed)
        return run_training(cls.hidden.unique_id, model, config, settings, clips, resume, mask is not None)
