"""A language model behind an OpenAI-compatible server on the user's own machine: Ollama, LM Studio, llama.cpp."""

from __future__ import annotations

import base64
import http.client
import io
import json
import threading
import time
from collections.abc import Callable

from torch import Tensor

from ..errors import IVGError
from ..media.images import to_pil
from ..settings import read_json
from .address import Address
from .answer import INSTRUCTION, question, sentence_in

LONGEST_SIDE = 768  # pixels of the photo that is sent
LONGEST = 1 << 20  # bytes of an answer
MOST_TOKENS = 1024  # of a sentence and the thoughts before it


class Server:
    """Asks a server's `/chat/completions`.

    Args:
        url: such as http://localhost:11434/v1 (Ollama), http://localhost:1234/v1 (LM Studio) or
            http://localhost:8080/v1 (llama.cpp). It must be this machine or one in its own network.
        model: name of the model there; "" lets the server choose.
        timeout: seconds for the whole answer.
        on_wait: called several times a second while waiting; an exception from it gives up.

    Raises:
        IVGError: the address is no such one.
    """

    def __init__(self, url: str, model: str = "", timeout: float = 60.0, on_wait: Callable[[], None] | None = None):
        self.url, self.model, self.timeout, self.on_wait = url.strip().rstrip("/"), model, timeout, on_wait
        self.address = Address(self.url)
        if not timeout > 0:
            raise IVGError(f"The time-out is {timeout} seconds: give more than 0.")

    @property
    def name(self) -> str:
        """Differs between models, for the cache."""
        return f"{self.url} {self.model}"

    def __call__(self, action: str, image: Tensor | None) -> str:
        """Ask for the sentence.

        Args:
            action: a few words.
            image: the photo, (H, W, 3) 0..1; None asks without one, for models that cannot see.

        Raises:
            IVGError: nobody answers in time, or the answer is an error or holds no sentence.
        """
        return sentence_in(self.ask(INSTRUCTION, question(action), image, MOST_TOKENS), self.model or self.url)

    def ask(self, instruction: str, question: str, image: Tensor | None, tokens: int) -> str:
        """Ask for anything.

        Args:
            instruction: how it is to answer.
            question: what is asked.
            image: the photo, (H, W, 3) 0..1; None asks without one, for models that cannot see.
            tokens: of the answer and the thoughts before it, at most.

        Returns:
            The answer as it is.

        Raises:
            IVGError: nobody answers in time, or the answer is an error.
        """
        content: list = [{"type": "text", "text": question}]
        if image is not None:
            content.append({"type": "image_url", "image_url": {"url": _data_url(image)}})
        messages = [
            {"role": "system", "content": instruction},
            {"role": "user", "content": content if image is not None else question},
        ]
        asked = {"messages": messages, "temperature": 0, "max_tokens": tokens, "stream": False}
        if self.model:
            asked["model"] = self.model
        answer = self._within_time(lambda: self._post(json.dumps(asked).encode()))
        try:
            text = read_json(answer)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise IVGError(
                f"{self.url} answers something else than a chat: is it the address of an OpenAI-compatible server, "
                "ending in /v1?"
            ) from error
        return str(text or "")

    def _post(self, body: bytes) -> bytes:
        try:
            status, answer = self.address.post("/chat/completions", body, "application/json", self.timeout, LONGEST)
        except (OSError, http.client.HTTPException) as error:
            raise IVGError(f"Nobody answers at {self.url} ({error}): start the server, or mend the address.") from error
        if status != http.client.OK:
            raise IVGError(
                f"{self.url} answers HTTP {status}{_reason_in(answer)}: look whether the model"
                f"{f' {self.model!r}' if self.model else ''} is loaded there."
            )
        return answer

    def _within_time(self, work: Callable[[], bytes]) -> bytes:
        """Run work beside us, so that neither a silent nor a dripping server can hold us longer than was said."""
        result: list[bytes] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                result.append(work())
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        deadline = time.monotonic() + self.timeout
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(min(0.1, self.timeout))
            if self.on_wait:
                self.on_wait()
        if errors and isinstance(errors[0], IVGError) and "timed out" not in str(errors[0]):
            raise errors[0]
        if not result:
            raise IVGError(
                f"{self.url} gave no answer within {self.timeout:g} seconds: give it more time (the first answer is "
                "slow while a model is being loaded), or take a smaller model."
            ) from (errors[0] if errors else None)
        return result[0]


def _data_url(image: Tensor) -> str:
    picture = to_pil(image)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _reason_in(answer: bytes) -> str:
    """What an OpenAI-compatible server says of its error; nothing of any other answer is shown."""
    try:
        error = read_json(answer)["error"]
        said = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({' '.join(said.split())[:120]})"
