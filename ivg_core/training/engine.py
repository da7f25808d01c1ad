"""accelerate, as the trainer uses it: one process or many, and a mean over all of them."""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..cluster.shard import Shard
from ..errors import IVGError
from ..finite import count_of, not_finite
from .config import TrainConfig

MEET_EVERY = 60.0  # seconds; process groups give up after 600 at least


def make_accelerator(config: TrainConfig) -> Any:
    """An `Accelerator` for these settings; `accelerate launch` and its own config decide on the processes.

    Raises:
        IVGError: accelerate is not installed, the launcher's processes do not meet, the machine cannot compute in the
            precision asked for, or DeepSpeed cannot do what is asked.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState
        from accelerate.utils import GradientAccumulationPlugin
    except ImportError as error:
        raise IVGError(
            "Training needs the package accelerate, which is not installed: `pip install accelerate`."
        ) from error
    # accelerate keeps its settings for the whole process, and a second training may want others; but a process group
    # that stands is kept.
    alone = not torch.distributed.is_initialized()
    AcceleratorState._reset_state(reset_partial_state=alone)
    GradientState._reset_state()
    if config.precision == "fp16" and (_on_processors(config) or not torch.cuda.is_available()):
        raise IVGError("precision fp16 needs a CUDA GPU: set precision to bf16 or fp32.")
    # DeepSpeed would round the trained weights to 16 bits; see `prepare`.
    deepspeed = _met(config).distributed_type == "DEEPSPEED"
    accelerator = Accelerator(
        cpu=_on_processors(config),
        mixed_precision="no" if deepspeed or config.precision == "fp32" else config.precision,
        # As a number, what a launcher says would come before it.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=config.accumulation),
    )
    engine = accelerator.state.deepspeed_plugin if accelerator.distributed_type == "DEEPSPEED" else None
    if accelerator.distributed_type == "FSDP" or (engine is not None and engine.zero_stage == 3):
        # The result is read from the weights themselves, and there each process would have a part of them only.
        raise IVGError(
            "Weights that are split over processes (FSDP, DeepSpeed ZeRO-3) are not supported: the network fits on one "
            "GPU, so use accelerate's plain multi-GPU training, or ZeRO-2, which splits what AdamW keeps."
        )
    if engine is not None:
        tell_deepspeed(engine.deepspeed_config, config)
    return accelerator


def tell_deepspeed(settings: dict[str, Any], config: TrainConfig) -> None:
    """Gives DeepSpeed the settings of the training, whatever stands in the launcher's file.

    Args:
        settings: DeepSpeed's, changed in place.
        config: of the training.

    Raises:
        IVGError: the training is one that DeepSpeed cannot do.
    """
    if config.ema:
        raise IVGError("ema does not work with DeepSpeed, which keeps its trained weights to itself: set ema to 0.")
    if config.precision == "fp16":
        raise IVGError("precision fp16 does not work with DeepSpeed: set precision to bf16.")
    if config.paths or config.clip_rank or any(role.per_clip for role in config.lora.values()):
        raise IVGError(
            "Paths, and LoRAs that each clip has of its own, do not work with DeepSpeed, which moves what was not "
            "heard in a step by its momentum: use accelerate's plain multi-GPU training."
        )
    # DeepSpeed asks a DataLoader for the first, and there is none: the order of the batches is our own.
    settings["train_micro_batch_size_per_gpu"] = config.batch_size
    settings["gradient_accumulation_steps"] = config.accumulation
    settings["gradient_clipping"] = config.clip


def prepare(accelerator: Any, config: TrainConfig, learner: nn.Module, optimizer: Any) -> tuple[Any, Any]:
    """accelerate's `prepare`, with the precision that it leaves to DeepSpeed.

    What DeepSpeed calls bf16 keeps the network itself in 16 bits. Here only the computing is, as without it.
    """
    if accelerator.distributed_type == "DEEPSPEED" and config.precision == "bf16":
        from accelerate.utils import convert_outputs_to_fp32

        in_16_bits = torch.autocast(accelerator.device.type, torch.bfloat16)
        learner.forward = convert_outputs_to_fp32(in_16_bits(learner.forward))  # type: ignore[method-assign]
    return accelerator.prepare(learner, optimizer)


def _on_processors(config: TrainConfig) -> bool:
    from accelerate.utils import parse_flag_from_env

    return config.device == "cpu" or parse_flag_from_env("ACCELERATE_USE_CPU")


def _met(config: TrainConfig) -> Any:
    """accelerate's `PartialState`: the processes that train together, which meet here.

    Raises:
        IVGError: a launcher started several, and each would train by itself, all of them into one folder.
    """
    from accelerate import PartialState

    state = PartialState(cpu=_on_processors(config))
    wanted = os.environ.get("WORLD_SIZE")
    if wanted is not None and wanted != str(state.num_processes):
        raise IVGError(
            f"WORLD_SIZE speaks of {wanted} processes and {state.num_processes} found each other, so each would train "
            "by itself: start them with accelerate launch --multi_gpu, or torchrun; on processors without a GPU with "
            "ACCELERATE_USE_CPU=true."
        )
    # accelerate sets the last two where one process is all that it starts, the first if it was to be several.
    if wanted is None and state.num_processes == 1 and {"MASTER_ADDR", "ACCELERATE_USE_CPU"} <= os.environ.keys():
        raise IVGError(
            "accelerate was to start several processes and started one: add --multi_gpu to accelerate launch (and in "
            "place of --cpu, set ACCELERATE_USE_CPU=true), or take one of the files that docs/scale.md names."
        )
    return state


def process_device(config: TrainConfig) -> torch.device:
    """Where this process of a training computes.

    Raises:
        IVGError: the launcher's processes do not meet.
    """
    return _met(config).device


def prepare_together(config: TrainConfig, work: Callable[[Shard], Iterator[Any]]) -> bool:
    """All processes do their shares of the work before the training at the same time.

    They meet once a minute. So none waits for another longer than that and one item takes, and process groups, which
    give up after some minutes, hold however long it all takes.

    Args:
        config: of the training.
        work: gives the work of a share, item by item; a process that trains alone does none.

    Returns:
        Whether there are several, so that all is done.

    Raises:
        IVGError: the launcher's processes do not meet, or the work failed in one of them.
    """
    state = _met(config)
    if state.num_processes == 1:
        return False
    from accelerate.utils import reduce

    items = work(Shard(state.process_index, state.num_processes))
    failed: IVGError | None = None
    left = True
    while True:
        until = time.monotonic() + MEET_EVERY
        try:
            while left and time.monotonic() < until:
                left = next(items, items) is not items
        except IVGError as error:
            failed, left = error, False
        told = torch.tensor([float(left), float(failed is not None)], device=state.device)
        working, failures = reduce(told, "sum").tolist()
        if failures:
            raise failed or IVGError("Another process could not prepare its clips: it says why.")
        if not working:
            return True


def check_shared(accelerator: Any, folder: Path) -> None:
    """Lets pass a folder that all processes see.

    Args:
        accelerator: accelerate's; all processes stop together.
        folder: that is there on the main process's machine.

    Raises:
        IVGError: a process sees another folder of this name, or none.
    """
    if accelerator.num_processes == 1:
        return
    main = accelerator.is_main_process
    drawn = torch.tensor(float(secrets.randbelow(2**24)) if main else 0.0, device=accelerator.device)
    number = int(accelerator.reduce(drawn, "sum").item())
    mark = folder / f".seen-{number}"  # a name that no machine has looked for yet
    if main:
        mark.touch()
    accelerator.wait_for_everyone()
    missing = agree(accelerator, not mark.exists())
    if main:
        mark.unlink(missing_ok=True)
    if missing:
        raise IVGError(
            f"Not all processes see the same folder {folder}: put out on a file system that all machines share, and "
            "give it as a full path."
        )


def reduce_figures(accelerator: Any, parts: list[dict[str, Tensor | None]]) -> dict[str, float]:
    """The mean of each figure over the batches of a step and over all processes; absent ones do not count.

    Args:
        accelerator: accelerate's.
        parts: one dict of scalars a batch, all with the same names; None where a loss had nothing to say.

    Returns:
        name -> mean; figures with no value are omitted.
    """
    names = list(parts[0])
    sums = torch.zeros(2, len(names), device=accelerator.device)
    for figures in parts:
        for i, name in enumerate(names):
            value = figures[name]
            if value is not None:
                sums[:, i] += torch.stack([value.detach().float(), sums.new_ones(())])
    sums = accelerator.reduce(sums, "sum").cpu()
    return {name: (sums[0, i] / sums[1, i]).item() for i, name in enumerate(names) if sums[1, i]}


def agree(accelerator: Any, stop: bool) -> bool:
    """Whether any process wants to stop; all get the same answer."""
    if accelerator.num_processes == 1:
        return stop
    return bool(accelerator.reduce(torch.tensor(float(stop), device=accelerator.device), "sum").item())


def check_finite(precision: str, step: int, loss: float, norm: Tensor | None) -> None:
    """Stops a training before NaN or infinity reaches the weights.

    Args:
        precision: with fp16 gradients may overflow: that lowers the scale of the loss, and the step is skipped.
        step: for the message.
        loss: of the step, over all processes.
        norm: of the gradient; None where the engine does not tell.

    Raises:
        IVGError: the loss or the gradient is no number.
    """
    bad_norm = norm is not None and precision != "fp16" and not math.isfinite(float(norm))
    if math.isfinite(loss) and not bad_norm:
        return
    what = "gradient" if math.isfinite(loss) else "loss"
    cure = "use precision: bf16" if precision == "fp16" else "lower the learning rate"
    raise IVGError(
        f"The {what} of step {step} is not a number, so the training stopped before it spoilt the weights: {cure}, "
        "then go on from the last checkpoint with --resume auto."
    )


def check_weights(accelerator: Any, weights: Mapping[str, Tensor], step: int) -> None:
    """Stops a training before NaN or infinity in what it learned reaches a file.

    Args:
        accelerator: accelerate's; all processes stop together.
        weights: what is learned, by name.
        step: for the message.

    Raises:
        IVGError: some are no numbers.
    """
    spoilt = not_finite(weights.items())
    if agree(accelerator, bool(spoilt)):
        where = count_of(spoilt, len(weights)) if spoilt else "NaN or infinite values in another process"
        raise IVGError(
            f"After step {step} the trained weights hold {where}, so they are not saved: lower the learning rate, then "
            "go on from the last checkpoint with --resume auto, or begin anew where there is none."
        )


def put_back_afterwards(network: nn.Module, stack: ExitStack) -> None:
    """When `stack` closes, the network is again on its device, in its dtype and mode, trainable where it was."""
    first = next(network.parameters())
    device, training = first.device, network.training
    checkpointing = getattr(network, "gradient_checkpointing", False)
    dtypes = {name: (p.dtype, p.requires_grad) for name, p in network.named_parameters()}

    def put_back() -> None:
        network.to(device).train(training)
        if hasattr(network, "gradient_checkpointing"):
            network.gradient_checkpointing = checkpointing  # type: ignore[assignment]
        for name, p in network.named_parameters():
            dtype, trainable = dtypes[name]
            p.data = p.data.to(dtype)
            p.requires_grad_(trainable)

    stack.callback(put_back)
