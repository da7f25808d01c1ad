"""Stand-in for `comfy_api.latest.io`: schemas, inputs, outputs, nodes.

Each input class checks what ComfyUI checks when a pack is loaded: that it knows the arguments it was given. `KNOWN`
holds those of the oldest ComfyUI supported; a keyword that is not there would keep the whole pack from loading.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
from typing import Any

_COMMON = {"id", "display_name", "optional", "tooltip", "lazy"}
_WIDGET = _COMMON | {"default", "socketless"}
#: io type -> keyword arguments of its Input in ComfyUI 0.3.64
KNOWN = {
    "BOOLEAN": _WIDGET | {"label_on", "label_off", "force_input"},
    "INT": _WIDGET | {"min", "max", "step", "control_after_generate", "display_mode", "force_input"},
    "FLOAT": _WIDGET | {"min", "max", "step", "round", "display_mode", "force_input"},
    "STRING": _WIDGET | {"multiline", "placeholder", "dynamic_prompts", "force_input"},
    "COMBO": _WIDGET | {"options", "control_after_generate", "upload", "image_folder", "remote"},
}
_PLAIN = _COMMON | {"extra_dict"}


def _make_type(io_type: str) -> Any:
    known = KNOWN.get(io_type, _PLAIN)

    class Input:
        def __init__(self, id: str, **options):
            unknown = set(options) - known
            if unknown:
                raise TypeError(f"{io_type} input {id!r}: unexpected keyword argument {sorted(unknown)}")
            self.id, self.io_type, self.options = id, io_type, options
            self.optional = options.get("optional", False)

        def as_dict(self):
            return self.options

    # inspect.signature shows what the real class would.
    parameter = inspect.Parameter
    Input.__signature__ = inspect.Signature(
        [parameter("id", parameter.POSITIONAL_OR_KEYWORD)]
        + [parameter(name, parameter.KEYWORD_ONLY, default=None) for name in sorted(known - {"id"})]
    )

    class Output:
        def __init__(self, id=None, display_name=None, tooltip=None, is_output_list=False):
            self.id, self.io_type = id, io_type
            self.display_name, self.tooltip, self.is_output_list = display_name, tooltip, is_output_list

    return type(io_type, (), {"Input": Input, "Output": Output, "Type": object, "io_type": io_type})


class Hidden(str, enum.Enum):
    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"


@dataclasses.dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list = dataclasses.field(default_factory=list)
    outputs: list = dataclasses.field(default_factory=list)
    hidden: list = dataclasses.field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    search_aliases: list = dataclasses.field(default_factory=list)

    def validate(self) -> None:
        ids = [i.id for i in self.inputs]
        if len(set(ids)) != len(ids):
            raise ValueError(f"{self.node_id}: input ids must be unique: {ids}")


class NodeOutput:
    def __init__(self, *args, ui=None, expand=None, block_execution=None):
        self.args, self.ui, self.expand, self.block_execution = args, ui, expand, block_execution

    @property
    def result(self):
        return self.args or None

    def __getitem__(self, index):
        return self.args[index]


class ComfyNode:
    hidden = types.SimpleNamespace(unique_id="1", prompt=None, extra_pnginfo=None, dynprompt=None)

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        schema = cls.define_schema()
        schema.validate()
        return schema


def Custom(io_type: str):
    return _make_type(io_type)


class NumberDisplay(str, enum.Enum):
    number = "number"
    slider = "slider"


class UploadType(str, enum.Enum):
    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"


class FolderType(str, enum.Enum):
    input = "input"
    output = "output"
    temp = "temp"


Boolean = _make_type("BOOLEAN")
Int = _make_type("INT")
Float = _make_type("FLOAT")
String = _make_type("STRING")
Combo = _make_type("COMBO")
Image = _make_type("IMAGE")
Mask = _make_type("MASK")
Latent = _make_type("LATENT")
Clip = _make_type("CLIP")
Sigmas = _make_type("SIGMAS")
ClipVision = _make_type("CLIP_VISION")
Conditioning = _make_type("CONDITIONING")
ControlNet = _make_type("CONTROL_NET")
Video = _make_type("VIDEO")
Audio = _make_type("AUDIO")
Model = _make_type("MODEL")
Vae = _make_type("VAE")
