"""TrainIVGLoRA: a LoRA from the user's own clips, trained in ComfyUI's own process."""

from __future__ import annotations

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ._compat import found_by
from ._edges import to_comfy
from ._model import IVGModelSocket
from ._notes import noted, say
from ._training import (
    TrainingProgress,
    check_clips,
    connected_clips,
    folder_of,
    keep,
    load,
    picture_of,
    run_folder,
    training_config,
)
from .loaders import state_of
from .loras import with_lora

STAGES = ["2: the video", "1: the mask"]
#: What the user reads -> what the data side knows.
MASKS = {"hands": "hands", "hands and arms": "arms", "predicted by stage 1": "stage1", "everything": "white"}
MASK_FOLDER = "folder named masks"


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
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What happens in the clip, in one sentence; further lines are other ways to say it. For a "
                    "folder: the sentence of clips that have no .txt file beside them.",
                ),
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
                io.Int.Input(
                    "rank",
                    default=16,
                    min=1,
                    max=512,
                    tooltip="How much the LoRA can hold; its file and its memory grow with it.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=1e-4,
                    min=1e-7,
                    max=1.0,
                    step=1e-6,
                    round=1e-7,
                    tooltip="Size of a step. Lower it when the loss curve rises or jumps.",
                ),
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
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="A folder of clips: videos, GIFs, or folders of numbered pictures; the sentence of cut.mp4 "
                    "is in cut.txt. One inside ComfyUI's input folder, or a full path in one of its folders or of "
                    "those that extra_model_paths.yaml names. Empty when images or video are connected.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="Frames of a training clip, spread evenly over yours. 0 takes the model's number.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Width of training clips; with height it gives their area, and clips keep about their "
                    "shape. 0 takes the model's size. Less needs less memory.",
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=4096, step=8, tooltip="Height of training clips; see width."
                ),
                # Not `seed`: the interface would draw another number for each run, and no run could be resumed.
                io.Int.Input(
                    "training_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    tooltip="The same number gives the same training again.",
                ),
                io.Boolean.Input(
                    "resume",
                    default=True,
                    tooltip="Go on where a run of this name was cancelled, or raise steps to train a finished one "
                    "further. Off: begin anew, which needs a name that is not taken.",
                ),
                io.Image.Input("images", optional=True, tooltip="The frames of one clip, in order."),
                io.Video.Input("video", optional=True, tooltip="One clip."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What moves in the clip of images or video: one mask, or one a frame. Stage 1 needs one a "
                    "frame.",
                ),
            ],
            outputs=[
                IVGModelSocket.Output(
                    display_name="model",
                    tooltip="The model with the LoRA on it, for IVG Sampler or IVG Predict RoM Mask.",
                ),
                io.String.Output(display_name="lora_path", tooltip="The LoRA's file, for IVG Load LoRA."),
                io.Image.Output(display_name="loss_curve", tooltip="The loss of every step and its running mean."),
                io.Image.Output(
                    display_name="validation", tooltip="What the trained model makes of the first clip's first frame."
                ),
                io.String.Output(
                    display_name="report", tooltip="Which clips were trained on and which were left out, and why."
                ),
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
        from ..ivg_core.media.video import read_video
        from ..ivg_core.training.backbone import TrainableUNet
        from ..ivg_core.training.data.dataset import load_data
        from ..ivg_core.training.data.settings import DataSettings
        from ..ivg_core.training.history import draw_curve
        from ..ivg_core.training.trainer import train
        from ..ivg_core.training.validation import write_samples

        number = int(stage[0])
        defaults = model.model.defaults
        run = run_folder(save_name, resume)
        clips = connected_clips(images, video, mask, prompt, folder)
        settings = DataSettings(
            source=str(folder_of(folder)) if folder.strip() else "this node",
            caption=" ".join(prompt.split()) or None,
            masks=str(folder_of(folder) / "masks") if masks == MASK_FOLDER else MASKS[masks],
            frames=frames or defaults.num_frames,
            width=width,
            height=height,
        )
        if clips is None:
            check_clips(settings)
        size = (width or defaults.width, height or defaults.height)
        progress = TrainingProgress(cls.hidden.unique_id, steps, run)
        config = training_config(model.model, run, number, steps, rank, learning_rate, hand_loss, training_seed)
        networks = 1 if model.model.rom_unet is not None else 2  # a first stage 1 begins as the stage-2 network
        try:
            # ComfyUI runs nodes in inference mode, whose tensors cannot be trained through.
            with torch.inference_mode(False):
                imagines = settings.masks == "stage1" and mask is None
                ready = load(model, 1 if imagines else networks, settings.frames, size)
                pixels = "hands" in config.losses
                data = load_data(
                    settings, ready, number, run / "cache", pixels=pixels, clips=clips, on_clip=progress.clip
                )
                ready = load(model, networks if number == 1 else 2, settings.frames, size)
                done = train(config, ready, data.train, resume="auto" if resume else None, on_step=progress)
        except mm.InterruptProcessingException:
            say(progress.kept(save_name))
            raise
        finally:  # also when it was cancelled
            path = keep(run, save_name)
            mm.soft_empty_cache()
        trained = with_lora(model, done.lora, 1.0)
        ready = load(trained, number, settings.frames, size)
        backbone, name = TrainableUNet(ready, config), f"step-{done.step:06d}"
        (sample,) = write_samples(backbone, data.train, 1, defaults.num_inference_steps, run / "samples", name)
        curve = draw_curve(done.history, steps, f"{save_name}: {done.step} steps")
        report = f"{data.report}\n\n{done.step} steps; the LoRA is {path}\n"
        return io.NodeOutput(trained, str(path), picture_of(curve), to_comfy(read_video(sample)[0]), report)
