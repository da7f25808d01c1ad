"""The weights that come with this project: small files, each with its card in `assets/README.md`."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"

EMBEDDED = ASSETS / "ivg-tiny.safetensors"
#: Its gates, with which it follows boxes.
EMBEDDED_GATES = ASSETS / "ivg-tiny-boxes.safetensors"
#: Its LoRAs, by the names under which they are given. With the first, a hand goes back to rest.
EMBEDDED_LORAS = {"embedded-back": ASSETS / "ivg-tiny-back.safetensors"}
