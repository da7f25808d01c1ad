"""What weights are made of: the base, data and LoRAs that went into them, each under the licence that it states."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..settings import read_json
from .fingerprint import base_fingerprint

if TYPE_CHECKING:
    from .bundle import IVGModel
    from .lora import LoRA

KEY = "provenance"  # in the header of a one-file checkpoint, and in the config.yaml of a folder
LORA_KEY = "ivg_provenance"  # in the header of a LoRA file
UNKNOWN = "unknown; look where it is from"
#: Of a LoRA whose own parts are told beside it.
OF_ITS_PARTS = "that of what it was made of"
#: What headers call a licence: ours, other programs', and the "modelspec" of safetensors files.
STATED = ("licence", "license", "modelspec.license")


@dataclass(frozen=True)
class Part:
    """One thing that went into weights.

    Args:
        kind: "base", "stage 1", "gates", "data" or "LoRA".
        name: for people; "" if nobody named it.
        licence: as it states it; "" if it states none.
        fingerprint: of the network, see `base_fingerprint`; "" if it is none.
        strength: at which a LoRA was added.
    """

    kind: str
    name: str
    licence: str = ""
    fingerprint: str = ""
    strength: float | None = None

    def __str__(self) -> str:
        at = "" if self.strength is None else f" at {self.strength:g}"
        mark = f", {self.fingerprint[:12]}" if self.fingerprint else ""
        return f"{self.kind} {self.name or 'without a name'}{at}{mark}: {self.licence or UNKNOWN}"


@dataclass(frozen=True)
class Provenance:
    """What weights are made of. Nothing is claimed that a part does not state itself.

    Args:
        parts: in the order in which they came in.
        made_by: what was done, in order: "train, Comfy-IVG 0.1.0".
    """

    parts: tuple[Part, ...]
    made_by: tuple[str, ...] = ()

    @classmethod
    def of_model(cls, model: IVGModel) -> Provenance:
        """Of a model: what its checkpoint says, or that it is its own base."""
        if model.provenance is not None:
            return model.provenance
        network = model.unet or model.rom_unet
        mark = base_fingerprint(network) if network is not None else ""
        return cls((Part("base", model.name, model.licence, mark),))

    @classmethod
    def of_lora(cls, lora: LoRA, strength: float | None = None) -> Provenance:
        """Of a LoRA: itself, with what its file says that it was made of."""
        known = cls.from_json(lora.metadata.get(LORA_KEY))
        licence = OF_ITS_PARTS if known else stated_licence(lora.metadata)
        itself = Part("LoRA", lora.name, licence, strength=strength)
        return cls((itself, *known.parts), known.made_by) if known else cls((itself,))

    def and_(self, others: Iterable[Part]) -> Provenance:
        """With further parts; what is there already is not told twice."""
        return Provenance(tuple(dict.fromkeys([*self.parts, *others])), self.made_by)

    def then(self, command: str) -> Provenance:
        """After one more thing was done with it, by this version."""
        return Provenance(self.parts, (*self.made_by, f"{command}, Comfy-IVG {__version__}"))

    @property
    def licence(self) -> str:
        """What is known of the licence of the whole: the one that all parts state, or that of each."""
        told = [part for part in self.parts if part.licence != OF_ITS_PARTS]
        stated = {part.licence or UNKNOWN for part in told}
        if len(stated) == 1:
            return stated.pop()
        return " | ".join(f"{part.name or 'without a name'} ({part.kind}): {part.licence or UNKNOWN}" for part in told)

    def onto(self, model: IVGModel) -> IVGModel:
        """The model, which says that it is made of this and what is known of the licence; the given one stays."""
        return replace(model, provenance=self, licence=self.licence)

    def lines(self) -> list[str]:
        """For people: a line for each part, and one for what was done."""
        return [*map(str, self.parts), *([f"made by {' → '.join(self.made_by)}"] if self.made_by else [])]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is not known is left out."""
        parts = [{key: value for key, value in asdict(part).items() if value not in ("", None)} for part in self.parts]
        return {"parts": parts, "made_by": list(self.made_by)}

    def to_json(self) -> str:
        """As it travels in a file."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def in_header(self) -> dict[str, str]:
        """The entries of a LoRA file."""
        return {LORA_KEY: self.to_json(), "licence": self.licence}

    @classmethod
    def from_dict(cls, values: Any) -> Provenance | None:
        """Reads what `to_dict` gave; None where it is something else, for no model is worth less by it."""
        try:
            parts = tuple(
                Part(
                    kind=str(part["kind"]),
                    name=str(part.get("name", "")),
                    licence=str(part.get("licence", "")),
                    fingerprint=str(part.get("fingerprint", "")),
                    strength=None if part.get("strength") is None else float(part["strength"]),
                )
                for part in values["parts"]
            )
            return cls(parts, tuple(map(str, values.get("made_by", ())))) if parts else None
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    @classmethod
    def from_json(cls, text: str | None) -> Provenance | None:
        """Reads what `to_json` wrote; None where it is something else."""
        try:
            return cls.from_dict(read_json(text)) if text else None
        except ValueError:
            return None


def stated_licence(header: Mapping[str, str]) -> str:
    """The licence that the header of a file states; "" if it states none."""
    return next((header[key] for key in STATED if header.get(key)), "")
