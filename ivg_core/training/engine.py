"""accelerate, as the trainer uses it: one process or many, and a mean over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import IVGError
from ..finite import count_of, not_finite
from .config import TrainConfig


def make_accelerator(config: TrainConfig) -> Any:
    """An `Accelerator` for these settings; `accelerate launch` and its own config decide on the processes.

    Raises:
        IVGError: accelerate is not installed, or the machine cannot compute in the precision asked for.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState
    except ImportError as error:
        raise IVGError(
            "Training needs the package accelerate, which is not installed: `pip install accelerate`."
        ) from error
    # accelerate keeps its settings for the whole process, and a second training may want others; but a process group
    # that stands is kept.
    alone = not torch.distributed.is_initialized()
    AcceleratorState._reset_state(reset_partial_state=alone)
    GradientState._reset_state()
    precision = {"fp32": "no"}.get(config.precision, config.precision)
    if config.precision == "fp16" and (config.device == "cpu" or not torch.cuda.is_available()):
        raise IVGError("precision fp16 needs a CUDA GPU: set precision to bf16 or fp32.")
    accelerator = Accelerator(
        cpu=config.device == "cpu",
        mixed_precision=precision,
        gradient_accumulation_steps=config.accumulation,
    )
    engine = accelerator.state.deepspeed_plugin if accelerator.distributed_type == "DEEPSPEED" else None
    if accelerator.distributed_type == "FSDP" or (engine is not None and engine.zero_stage == 3):
        # The result is read from the weights themselves, and there each process would have a part of them only.
        raise IVGError(
            "Weights that are split over processes (FSDP, DeepSpeed ZeRO-3) are not supported: the network fits on one "
            "GPU, so use accelerate's plain multi-GPU training, or ZeRO-2, which splits what AdamW keeps."
        )
    if engine is not None:
        # DeepSpeed asks a DataLoader for this, and there is none: the order of the batches is our own.
        engine.deepspeed_config["train_micro_batch_size_per_gpu"] = config.batch_size
        if config.ema:
            raise IVGError("ema does not work with DeepSpeed, which keeps its trained weights to itself: set ema to 0.")
    return accelerator


@contextmanager
def main_process_first(config: TrainConfig) -> Iterator[None]:
    """The main process runs the `with` block alone, then the others run it."""
    from accelerate import PartialState

    with PartialState(cpu=config.device == "cpu").main_process_first():
        yield


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
