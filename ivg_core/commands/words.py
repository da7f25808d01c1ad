"""The library's sentences in the words of a command: what is `num_frames` in Python is --frames there."""

from __future__ import annotations

import argparse
import re

#: Python's name -> the option's, where they differ by more than dashes.
OTHERWISE = {
    "rom": "rom_model",
    "beside": "depth",
    "num_frames": "frames",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "guidance_interval": "guidance_part",
    "motion_strength": "motion",
    "negative_prompt": "negative",
}


def in_words_of(parser: argparse.ArgumentParser, sentence: str) -> str:
    """A sentence with the names that Python has for the options of a command in the command's own spelling.

    Only such as no other word can be: with an underscore, or as an argument (`rom=…`). Paths and quoted words stay.

    Args:
        parser: of the command.
        sentence: of an error.
    """
    spelt = {action.dest: action.option_strings[0] for action in parser._actions if action.option_strings}
    spelt |= {name: spelt[dest] for name, dest in OTHERWISE.items() if dest in spelt}

    def worded(found: re.Match[str]) -> str:
        name, given = found[1], found[2]
        return spelt[name] if name in spelt and ("_" in name or given) else found[0]

    return re.sub(r"""(?<![\w/\\.\-"'])([a-z]\w*)(=…)?(?![\w/\\"'=]|\.\w)""", worded, sentence)
