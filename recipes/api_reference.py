"""Makes docs/api.md of the signatures and docstrings of what `import ivg_core` gives.

    python -m recipes.api_reference

A test holds that it is up to date.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import ivg_core

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"

#: Heading -> (what stands below it, names).
SUBJECTS: dict[str, tuple[str, str]] = {
    "Models": (
        "A checkpoint in memory, and back on the disk.",
        "load_model save_folder save_file IVGModel ModelDefaults",
    ),
    "The Region of Motion": (
        "Where a photo will move: predicted by a model, or found without one.",
        "predict_rom RoM predict_regions find_rom FoundRegion hands_in refine_mask",
    ),
    "Videos": (
        "A photo, a sentence and a mask become a video. `predict_rom` and `generate` take batches.",
        "generate Generated Sampling ContextWindows read_schedule PromptSchedule Stretch generate_chain SourceVideo",
    ),
    "Pictures and clips on the disk": (
        "Everywhere photos are (H, W, 3), clips (F, H, W, 3) and masks (H, W), float 0..1.",
        "read_video write_video load_image load_mask save_png",
    ),
    "LoRAs": (
        "Read from any format and added; `save_lora` writes one that was read, so it is converted, and `save_folder` a "
        "model to which some were added, so they are merged.",
        "add_loras read_lora_for model_with_lora combine_loras reduce_rank Reduced save_lora LoRA",
    ),
    "Training": (
        "Clips become a LoRA, or another model. Clips are found and encoded by `load_data`, or come from a data set of "
        "your own.",
        "train Trained read_config presets TrainConfig LoRASettings ValidationSettings TrainingPath load_data "
        "DataSettings Data survey Report TrainingClip ClipDataset OrderedClips Sample ModelEncoder Batch",
    ),
    "Annotating": (
        "Masks of clips, to train on.",
        "annotate_folder annotate_video ClipReport annotate_clip Annotation",
    ),
    "Hands": (
        "Finding hands, and judging them.",
        "HandTracker score_hands HandScore",
    ),
    "Evaluating": (
        "The clips of several methods measured and compared.",
        "pair_clips ClipFiles evaluate_methods Evaluation Estimate write_report write_page",
    ),
    "Your own losses and metrics": (
        "Register them, and every yaml and every report knows them. The commands `train` and `evaluate` are told the "
        "file that does so: `--plugin my_losses.py`.",
        "register_loss LossTerm Prediction register_metric MeasuredClip Features load_plugins",
    ),
    "Errors": ("", "IVGError"),
}

HEAD = """\
# What `import ivg_core` gives

Made of the docstrings by `python -m recipes.api_reference`; do not edit. Importing costs nothing: each name is loaded
when it is first used. A mistake that you can mend is an `IVGError`: what is wrong, where, and what to do next.
"""
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Source")
WIDTH = 100


def names() -> list[str]:
    """All names of the page, in its order."""
    return [name for _, listed in SUBJECTS.values() for name in listed.split()]


def page() -> str:
    """The text of docs/api.md."""
    parts = [HEAD, "\n".join(_contents())]
    for title, (said, listed) in SUBJECTS.items():
        parts.append(f"## {title}" + (f"\n\n{said}" if said else ""))
        parts += [_entry(name) for name in listed.split()]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def sections(text: str) -> dict[str, str]:
    """A docstring in parts: what stands before them under "", then those of `SECTIONS`, without their indent."""
    found, at = {"": ""}, ""
    for line in text.splitlines():
        head = re.match(rf"({'|'.join(SECTIONS)}):(?: (.*))?$", line)
        if head:
            at = head[1]
            found[at] = f"{head[2]}\n" if head[2] else ""
        else:
            found[at] += line.removeprefix("    " if at else "") + "\n"
    return {name: part.strip("\n") for name, part in found.items()}


def items(section: str) -> dict[str, str]:
    """`name: what it is` of a section, in one line each; `a, b: …` is said of both."""
    found: dict[str, str] = {}
    for line in section.splitlines():
        item = re.match(r"([*\w]+(?:, [*\w]+)*): (.*)", line)
        if item:
            found[item[1]] = item[2]
        elif found and line.startswith(" "):
            found[list(found)[-1]] += f" {line.strip()}"
    return found


def told(name: str) -> set[str]:
    """The arguments or fields of a public name that its docstring explains."""
    parts = sections(inspect.getdoc(getattr(ivg_core, name)) or "")
    listed = items(parts.get("Args") or parts.get("Attributes") or "")
    return {word.strip("*") for words in listed for word in words.split(", ")}


def wanted(name: str) -> list[str]:
    """The arguments or fields of a public name that need explaining."""
    thing = getattr(ivg_core, name)
    if not inspect.isclass(thing):
        return list(inspect.signature(thing).parameters)
    if is_dataclass(thing):
        return [field.name for field in fields(thing)]
    if _own_init(thing):
        return list(inspect.signature(thing).parameters)
    return list(inspect.get_annotations(thing))


def _contents() -> list[str]:
    lines = []
    for title, (_, listed) in SUBJECTS.items():
        links = ", ".join(f"[{name}](#{name.lower()})" for name in listed.split())
        lines.append(f"- **{title}**: {links}")
    return lines


def _entry(name: str) -> str:
    thing = getattr(ivg_core, name)
    home = thing.__module__.removeprefix("ivg_core.").replace(".", "/")
    lines = [f"### {name}", f"[`{thing.__module__}`](../ivg_core/{home}.py)", _code(name, thing)]
    parts = sections(inspect.getdoc(thing) or "")
    lines.append(_prose(parts.pop("")))
    for title, part in parts.items():
        if title in ("Args", "Attributes"):
            lines.append("\n".join(f"- **{word}**: {_prose(said)}" for word, said in items(part).items()))
        else:
            lines.append(f"**{title}**: {_prose(part)}")
    if inspect.isclass(thing) and (members := _members(thing)):
        lines.append("\n".join(members))
    return "\n\n".join(line for line in lines if line)


def _code(name: str, thing: Any) -> str:
    if not inspect.isclass(thing):
        return _fenced(name, inspect.signature(thing))
    if is_dataclass(thing) or _own_init(thing):
        return _fenced(name, inspect.signature(thing), thing)
    return ""


def _own_init(thing: type) -> bool:
    return "__init__" in vars(thing) and not getattr(thing, "_is_protocol", False)


def _fenced(name: str, signature: inspect.Signature, thing: Any = None) -> str:
    defaults = {f.name: f for f in fields(thing)} if thing is not None and is_dataclass(thing) else {}
    parts, named = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not named:
            named = True
            parts.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        text = stars + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {_type(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {_default(parameter, defaults)}"
        parts.append(text)
    back = signature.return_annotation
    end = f") -> {_type(back)}" if thing is None and back is not signature.empty else ")"
    line = f"{name}({', '.join(parts)}{end}"
    if len(line) > WIDTH:
        line = "\n".join([f"{name}(", *(f"    {part}," for part in parts), end])
    return f"```python\n{line}\n```"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(parameter: inspect.Parameter, defaults: dict[str, Any]) -> str:
    field = defaults.get(parameter.name)
    if field is not None and field.default is MISSING:
        made = field.default_factory()
        return f"{type(made).__name__}()" if is_dataclass(made) else "…" if made else repr(made)
    value = parameter.default
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}()"
    return value.__qualname__ if inspect.isclass(value) or inspect.isroutine(value) else repr(value)


def _members(thing: type) -> list[str]:
    """Properties and methods that a class itself has and explains."""
    lines = []
    for name, member in vars(thing).items():
        function = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
        if name.startswith("_") and name not in ("__call__", "__getitem__", "__len__"):
            continue
        if not inspect.isfunction(function) or not function.__doc__:
            continue
        plain = function is not member and not isinstance(member, (classmethod, staticmethod))
        called = name if plain else f"{name}({', '.join(_arguments(function))})"
        lines.append(f"- `{called}`: {_prose(sections(inspect.getdoc(function) or '')[''], ' ')}")
    return lines


def _arguments(function: Any) -> list[str]:
    named = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    return [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in named]


def _prose(text: str, between: str = "\n\n") -> str:
    """Paragraphs of a docstring as Markdown, a line each; what stands indented by itself is code."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if paragraph.startswith("    "):
            found.append("```python\n" + inspect.cleandoc(paragraph) + "\n```")
        else:
            found.append(_escaped(" ".join(paragraph.split())))
    return between.join(found)


def _escaped(text: str) -> str:
    """Outside of `code`, what Markdown would take for its own."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"([<*])", r"\\\1", piece) for piece in pieces)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
