"""A vision-language model in a folder on this machine, through transformers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import to_pil
from ..media.targets import user_path
from .answer import INSTRUCTION, question, sentence_in

MOST_TOKENS = 96  # of a sentence


class LocalModel:
    """Asks a model that lies in a folder: Qwen-VL, LLaVA, SmolVLM and all others that transformers can load.

    Args:
        folder: with config.json, the weights and the processor's files, as its makers publish it. Nothing is fetched.
        device: where it computes.
        dtype: of its weights.

    Raises:
        IVGError: the folder is not there.
    """

    def __init__(self, folder: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32):
        self.folder, self.device, self.dtype = user_path(folder), device, dtype
        if not (self.folder / "config.json").is_file():
            raise IVGError(f"There is no model at {self.folder}: give the folder that holds its config.json.")

    @property
    def name(self) -> str:
        """Differs between models, for the cache."""
        return f"{self.folder.resolve()} {(self.folder / 'config.json').stat().st_mtime_ns}"

    @cached_property
    def network(self) -> Any:
        """The model itself, loaded when it is first needed."""
        from transformers import AutoModelForImageTextToText

        with self._explained():
            model: Any = AutoModelForImageTextToText.from_pretrained(self.folder, local_files_only=True)  # nosec B615 # a folder
        return model.to(self.device, self.dtype).eval()

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        with self._explained():
            return AutoProcessor.from_pretrained(self.folder, local_files_only=True)  # nosec B615 # a folder

    def __call__(self, action: str, image: Tensor | None) -> str:
        """Ask for the sentence.

        Args:
            action: a few words.
            image: the photo, (H, W, 3) 0..1; None asks without one.

        Raises:
            IVGError: the folder holds no such model, or the answer holds no sentence.
        """
        return sentence_in(self.ask(INSTRUCTION, question(action), image, MOST_TOKENS), self.folder.name)

    @torch.no_grad()
    def ask(self, instruction: str, question: str, image: Tensor | None, tokens: int) -> str:
        """Ask for anything.

        Args:
            instruction: how it is to answer.
            question: what is asked.
            image: the photo, (H, W, 3) 0..1; None asks without one.
            tokens: of the answer, at most.

        Returns:
            The answer as it is.

        Raises:
            IVGError: the folder holds no such model.
        """
        processor, model = self._processor, self.network
        picture = [] if image is None else [{"type": "image", "image": to_pil(image)}]
        words = {"type": "text", "text": f"{instruction}\n\n{question}"}
        if getattr(processor, "chat_template", None):
            inputs = processor.apply_chat_template(
                [{"role": "user", "content": [*picture, words]}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        else:  # plain captioning models such as BLIP
            pictures = {"images": to_pil(image)} if image is not None else {}
            inputs = processor(text=question, return_tensors="pt", **pictures)
        inputs = inputs.to(next(model.parameters()).device, self.dtype)  # only its floats take the dtype
        asked = inputs["input_ids"].shape[1]
        made = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return processor.batch_decode(made[:, asked:], skip_special_tokens=True)[0]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise IVGError(
                f"{self.folder} cannot be loaded as a vision-language model ({reason}): give the folder of one that "
                "transformers knows, such as Qwen2-VL, LLaVA or SmolVLM."
            ) from error
