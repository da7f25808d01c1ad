"""`train`: one loop for both stages, for LoRA and full training, on one process or many."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import IVGError
from ..media.lock import alone_in
from ..media.targets import user_path
from ..models.bundle import IVGModel
from ..models.lora import LoRA
from ..models.one_shot import OneShotUNet
from .backbone import TrainableBackbone, TrainableUNet
from .batches import Batch, ClipDataset, as_clips, clips_of_one_video, describe
from .boards import check_board, open_board
from .config import TrainConfig
from .ema import Average
from .engine import (
    agree,
    check_finite,
    check_shared,
    check_weights,
    make_accelerator,
    prepare,
    reduce_figures,
)
from .history import append_figures, read_history, write_history
from .learner import Learner, choose_trained
from .objective import Denoising
from .optimizer import make_optimizer, rate_factor
from .order import Order, own_randomness, seeded
from .record import after_training, lora_metadata, write_start
from .resume import (
    checkpoint_to_resume,
    compare,
    keep_only_what_is_learned,
    load_checkpoint,
    read_progress,
    remove_leftovers,
    save_checkpoint,
    trained_parameters,
)
from .sample import check_made_for
from .validation import heldout_loss, write_samples

if TYPE_CHECKING:
    from ..models.backbone import Backbone

log = logging.getLogger("ivg")

#: Called on the main process as `on_step(step, total, figures)` after each of the steps 1..total.
OnTrainingStep = Callable[[int, int, dict[str, float]], None]


def train(
    config: TrainConfig,
    model: IVGModel | TrainableBackbone,
    dataset: ClipDataset,
    heldout: ClipDataset | None = None,
    *,
    resume: str | Path | None = None,
    on_step: OnTrainingStep | None = None,
    should_stop: Callable[[], bool] | None = None,
    objective: Callable[[TrainConfig, Backbone], Any] = Denoising,
    record: Mapping[str, Any] | None = None,
) -> Trained:
    """Trains a LoRA for a network, or the network itself.

    The weights that are frozen stay as they are bit for bit. Files go to `config.out`.

    Args:
        config: see `TrainConfig`.
        model: a checkpoint, whose network of the stage is trained, or another network; left on the device it was on.
        dataset: the clips: what `load_data` gives, or a data set of your own, see `ClipDataset`.
        heldout: clips for the held-out loss and samples, likewise.
        resume: None begins anew, "auto" goes on from the latest checkpoint in `config.out` if there is one, a path from
            that one.
        on_step: progress, called as `on_step(step, total, figures)` after each step; an exception from it stops the
            training, which saves first and then passes it on.
        should_stop: asked after every step; True stops the training, which saves and returns.
        objective: makes what turns a batch into a loss; see `Denoising`.
        record: plain values that the run's record (see `write_start`) is to hold too, such as `data`, what became of
            every clip (`Report.to_dict`).

    Returns:
        What was learned; if it was stopped, so far.

    Raises:
        IVGError: something about settings, data, disk or numbers that the user can mend.
    """
    check_board(config)
    dataset, heldout = as_clips(dataset), None if heldout is None else as_clips(heldout, "measure with")
    with torch.inference_mode(False), torch.enable_grad(), own_randomness(), ExitStack() as stack:
        if isinstance(model, IVGModel):
            model = TrainableUNet(model, config, clips_of_one_video(dataset) if config.clip_rank else None)
            known = model.network.config
            check_made_for(dataset[0], known["out_channels"], known["cross_attention_dim"], model.name)
        trainer = _Trainer(config, model, dataset, heldout, objective, record or {}, stack)
        return trainer.run(resume, on_step, should_stop or (lambda: False))


class _Trainer:
    def __init__(self, config, backbone: TrainableBackbone, dataset, heldout, objective, record, stack: ExitStack):
        self.config: TrainConfig = config
        self.record: Mapping[str, Any] = record
        if config.warmup >= config.steps:
            log.warning(
                "The warm-up of %d steps is not over when the training of %d ends: the learning rate never comes to "
                "%g. Set warmup lower, or steps higher.",
                config.warmup,
                config.steps,
                config.learning_rate,
            )
        self.backbone, self.heldout, self.folder = backbone, heldout, user_path(config.out)
        self.accelerator = accelerator = make_accelerator(config)
        stack.callback(accelerator.free_memory)
        seeded(config.seed)
        self.objective = objective(config, backbone)
        self.dataset, self.order = dataset, Order(dataset, config.batch_size, config.seed)

        self.base_hash = backbone.fingerprint()
        stack.enter_context(backbone.training(accelerator.device))
        self.lora = choose_trained(backbone, config, len(dataset))
        if self.lora is not None:
            stack.enter_context(self.lora.attached(backbone.network))
        learner = Learner(backbone, self.lora)
        groups = self._groups(list(trained_parameters(learner).values()))
        optimizer = make_optimizer(config, groups)
        self.learner, self.optimizer = prepare(accelerator, config, learner, optimizer)
        self._train_mode()
        self.average = Average(trained_parameters(learner), config.ema) if config.ema else None
        keep_only_what_is_learned(accelerator)
        self.about_data = describe(dataset, backbone.codec)
        self.history: list[dict[str, float]] = []
        self.board = open_board(config, self.folder) if accelerator.is_main_process else None
        if self.board is not None:
            stack.callback(self.board.close)

    def _groups(self, parameters: list[torch.nn.Parameter]) -> dict[str, tuple[list[torch.nn.Parameter], float]]:
        rate = self.config.learning_rate
        if self.lora is None:
            return {"network": (parameters, rate)}
        rates = {role: settings.learning_rate or rate for role, settings in self.config.lora.items()}
        groups = self.lora.groups().items()
        return {role if clip is None else f"{role} {clip}": (found, rates[role]) for (role, clip), found in groups}

    def run(self, resume, on_step: OnTrainingStep | None, should_stop: Callable[[], bool]) -> Trained:
        """Train, as the only training in the folder."""
        with self._alone():
            return self._run(resume, on_step, should_stop)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two trainings in one folder would take each other's checkpoints."""
        said = ""
        with ExitStack() as stack:
            if self.accelerator.is_main_process:
                try:
                    stack.enter_context(alone_in(self.folder, "training"))
                except IVGError as error:
                    said = str(error)
            if agree(self.accelerator, bool(said)):
                raise IVGError(said or f"The first process cannot train in {self.folder}.")
            check_shared(self.accelerator, self.folder)
            yield

    def _run(self, resume, on_step: OnTrainingStep | None, should_stop: Callable[[], bool]) -> Trained:
        """The loop. Every line that can fail in one process alone is agreed upon before the others go on."""
        config, accelerator = self.config, self.accelerator
        start = self._start(resume)
        checkpoint = None
        for step in range(start, config.steps):
            figures = self._step(step)
            done = step + 1
            every = config.validation.every
            if self.heldout is not None and ((every and done % every == 0) or done == config.steps):
                figures["heldout"] = self._validate(done)
            self.history.append(figures)
            cancelled: BaseException | None = None
            if accelerator.is_main_process:
                try:
                    self._tell(done, figures, on_step)
                except BaseException as error:  # ComfyUI's cancel among them
                    cancelled = error
            stop = agree(accelerator, cancelled is not None or should_stop())
            if stop or done == config.steps or (config.save_every and done % config.save_every == 0):
                checkpoint = self._save(done)
            if stop and done < config.steps:
                how = 'Go on with --resume auto (resume="auto").'
                log.warning("Stopped after step %d of %d, saved as %s. %s", done, config.steps, checkpoint, how)
            if cancelled is not None:
                raise cancelled
            if stop:
                return self._result(done, checkpoint)
        return self._result(config.steps, checkpoint)

    def _start(self, resume) -> int:
        accelerator, folder, config = self.accelerator, self.folder, self.config
        accelerator.wait_for_everyone()
        found = checkpoint_to_resume(folder, resume)
        if accelerator.is_main_process:
            remove_leftovers(folder)
        start = 0
        if found is not None:
            progress = read_progress(found)
            processes, about = accelerator.num_processes, self.backbone.about()
            compare(progress, found, config, self.base_hash, processes, self._own_clips, about)
            load_checkpoint(accelerator, found, self.average)
            start = progress["step"]
            self.history = read_history(self._history_file)[:start]
            log.warning("Going on from step %d (%s).", start, found)
        if accelerator.is_main_process:
            write_history(self._history_file, self.history)
            made_of = after_training(self.backbone.provenance(), config)
            write_start(folder, config, start, accelerator, {**self.record, "made_of": made_of.to_dict()})
        return start

    def _step(self, step: int) -> dict[str, float]:
        config, accelerator = self.config, self.accelerator
        rate = rate_factor(config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        began, parts, norm = time.monotonic(), [], torch.zeros(())
        reduced: dict[str, float] = {}
        for part in range(config.accumulation):
            number = (step * config.accumulation + part) * accelerator.num_processes + accelerator.process_index
            batch = self.order.batch(number).to(accelerator.device)
            rng = seeded(config.seed, number)
            with accelerator.accumulate(self.learner):
                losses, figures = self._losses(batch, rng)
                parts.append({"loss": sum(losses).detach(), **figures})
                for loss in losses:
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        norm = accelerator.clip_grad_norm_(self.learner.parameters(), config.clip or math.inf)
                        reduced = reduce_figures(accelerator, parts)
                        check_finite(config.precision, step + 1, reduced["loss"], norm)
                        if accelerator.num_processes > 1:
                            self._let_rest()
                    self.optimizer.step()
                    self.optimizer.zero_grad(set_to_none=bool(config.paths) or not config.parity)
        if self.average is not None:
            self.average.update()
        rest = {"rate": config.learning_rate * rate, "seconds": time.monotonic() - began}
        return {**reduced, "grad_norm": math.nan if norm is None else float(norm), **rest}

    def _losses(self, batch: Batch, rng: torch.Generator) -> tuple[list[Any], dict[str, Any]]:
        """What is learned from in turn: one loss, in parity mode that of each path."""
        if self.config.parity:
            return self.objective.parts(self.learner, batch, self.objective.draw(batch, rng), rng)
        loss, figures = self.objective(self.learner, batch, rng)
        if self.accelerator.num_processes > 1:  # each waits for a gradient of all parts, here of zero
            loss = loss + sum(0 * p.sum() for p in self.learner.parameters() if p.requires_grad)
        return [loss], figures

    def _let_rest(self) -> None:
        """A LoRA that learned in no process does not move, as it would not in one process: it loses its zeros."""
        network = self.backbone.network
        of_clips = self.lora or (network if isinstance(network, OneShotUNet) else None)
        if of_clips is None:
            return
        groups: dict[Any, list[torch.nn.Parameter]] = {**of_clips.groups()}
        learned = torch.tensor([float(group in of_clips.learned) for group in groups], device=self.accelerator.device)
        of_clips.learned.clear()
        for parameters, count in zip(groups.values(), self.accelerator.reduce(learned, "sum").tolist(), strict=True):
            if not count:
                for parameter in parameters:
                    parameter.grad = None

    def _averaged(self):
        return self.average.applied() if self.average is not None else ExitStack()

    def _validate(self, done: int) -> float:
        settings = self.config.validation
        self.learner.eval()
        self.backbone.network.eval()
        with self._averaged():
            value = heldout_loss(self.accelerator, self.objective, self.learner, self.heldout, settings.draws)
            if settings.samples and self.accelerator.is_main_process:
                place, name = self.folder / "samples", f"step-{done:06d}"
                write_samples(self.backbone, self.heldout, settings.samples, settings.sample_steps, place, name)
        self._train_mode()
        return value

    def _train_mode(self) -> None:
        self.learner.train()  # the LoRA's dropout
        self.backbone.network.train(self.config.network_dropout)

    @property
    def _history_file(self) -> Path:
        return self.folder / "losses.jsonl"

    def _tell(self, done: int, figures: dict[str, float], on_step: OnTrainingStep | None) -> None:
        append_figures(self._history_file, done, figures)
        if self.board is not None:
            self.board.show(done, figures)
        if on_step:
            on_step(done, self.config.steps, figures)

    def _save(self, done: int) -> Path:
        check_weights(self.accelerator, trained_parameters(self.accelerator.unwrap_model(self.learner)), done)
        progress = {
            "step": done,
            "base": self.base_hash,
            "processes": self.accelerator.num_processes,
            "config": self.config.to_dict(),
            "clips": self._own_clips,
            "about": dict(self.backbone.about()),
        }
        path = save_checkpoint(self.accelerator, self.folder, done, progress, self.config.keep_last, self.average)
        if self.lora is not None and self.accelerator.is_main_process:
            self._write_lora(path)
        return path

    @cached_property
    def _own_clips(self) -> list[str] | None:
        """What each clip is, where each has a LoRA of its own: a checkpoint must not be taken up with others."""
        if not (self.lora.clips if self.lora else isinstance(self.backbone.network, OneShotUNet)):
            return None
        samples = (self.dataset[clip] for clip in range(len(self.dataset)))
        return [f"{s['name']}, {tuple(s['latents'].shape[1:])}: {s['caption']}" for s in samples]

    def _write_lora(self, checkpoint: Path) -> None:
        try:
            for path, clip in self._lora_files():
                self.backbone.save_lora(self._learned(clip), path)
        except IVGError as error:
            raise IVGError(
                f"{error} What was learned is in {checkpoint.name}: make room, then go on with --resume auto."
            ) from error

    @property
    def _lora_file(self) -> Path:
        return self.folder / f"{self.config.name}.safetensors"

    def _lora_files(self) -> Iterator[tuple[Path, int | None]]:
        """Where a LoRA is written: what was learned of all clips, and of each by itself."""
        assert self.lora is not None
        for clip in range(max(self.lora.clips.values(), default=0)):
            yield self.folder / f"{self.config.name}-clip-{clip + 1}.safetensors", clip
        yield self._lora_file, None

    def _learned(self, clip: int | None = None) -> LoRA:
        assert self.lora is not None
        with self._averaged():
            lora = self.lora.to_lora(clip)
        base = {"base": self.backbone.name, "base_hash": self.base_hash, **self.backbone.about()}
        made_of = after_training(self.backbone.provenance(), self.config)
        lora.metadata = lora_metadata(self.config, base, self.about_data, self.history, made_of)
        lora.name = self.config.name
        if clip is not None:
            lora.metadata["ivg_clip"] = self.dataset[clip]["name"]
        return lora

    def _result(self, done: int, checkpoint: Path | None) -> Trained:
        finished = done == self.config.steps
        if self.lora is not None:
            return Trained(self._learned(), None, done, finished, self._lora_file, checkpoint, self.history)
        if self.average is not None:
            self.average.apply()
        path = self.folder / self.config.name if finished else None
        if path and self.accelerator.is_main_process:
            self.backbone.save(path)
        return Trained(None, self.backbone.network, done, finished, path, checkpoint, self.history)


@dataclass
class Trained:
    """What a training gives back.

    Attributes:
        lora: what was learned by method "lora"; None for the other one.
        network: what was learned by method "full", averaged if `ema` is on; None for the other one.
        step: steps done.
        finished: whether all `steps` are done.
        path: the LoRA file or model folder; None for a full training that was stopped.
        checkpoint: the folder to go on from.
        history: figures of each step of the whole run.
    """

    lora: LoRA | None
    network: Any
    step: int
    finished: bool
    path: Path | None
    checkpoint: Path | None
    history: list[dict[str, float]] = field(default_factory=list)
