"""`enrich`: a few words become the sentence that says what each hand does."""

from __future__ import annotations

import argparse
import dataclasses

from ..errors import IVGError
from .kinds import a_device, a_path, new_file
from .shared import asked_of, asking_options, command, say


def add(commands) -> None:
    """Add the command to the parser."""
    said = 'turn "julienne carrot" into a sentence that says what each hand holds and does; to look at and to change'
    whom = asking_options("whom to ask (without either, a template is filled: offline, no model)")
    enrich = command(commands, "enrich", _enrich, said, whom)
    enrich.add_argument("--device", type=a_device, default="cpu", help="where a model of --vlm computes")
    enrich.add_argument("action", nargs="?", help='a few words, such as "julienne carrot"')
    enrich.add_argument("--image", type=a_path, help="the photo, for models that can see")
    enrich.add_argument("--table", type=a_path, help="enrich the prompts of a batch's table instead; see `batch`")
    enrich.add_argument("--out", type=new_file(".csv"), help="CSV to write the enriched table to, for `batch --table`")
    enrich.add_argument("--ask-again", action="store_true", help="do not look up earlier answers")


def _enrich(options: argparse.Namespace) -> None:
    from ..batch.table import read_table, write_table
    from ..media.images import load_image

    if bool(options.action) == bool(options.table):
        raise IVGError('Give either an action, such as "julienne carrot", or a --table of them.')
    ask = _asker(options)
    if options.action:
        print(ask(options.action, load_image(options.image) if options.image else None))
        return
    if not options.out:
        raise IVGError("Say with --out where the enriched table goes; the old one is left as it is.")
    items = []
    for item in read_table(options.table):
        sees = options.vlm or options.server
        items.append(dataclasses.replace(item, prompt=ask(item.prompt, load_image(item.image) if sees else None)))
        print(f"{item.image.name}: {items[-1].prompt}")
    write_table(items, options.out)
    say(options.out)


def _asker(options: argparse.Namespace):
    from ..enrich.enrich import default_cache, enrich_action

    enricher = asked_of(options)
    cache = None if options.ask_again else default_cache()
    return lambda action, image: enrich_action(action, image, enricher, cache)
