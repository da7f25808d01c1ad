"""`enrich`: a few words become the sentence that says what each hand does."""

from __future__ import annotations

import argparse
import dataclasses

from ..errors import IVGError
from .kinds import a_device, a_path, new_file, number
from .shared import command, say


def add(commands) -> None:
    """Add the command to the parser."""
    said = 'turn "julienne carrot" into a sentence that says what each hand holds and does; to look at and to change'
    enrich = command(commands, "enrich", _enrich, said)
    enrich.add_argument("action", nargs="?", help='a few words, such as "julienne carrot"')
    enrich.add_argument("--image", type=a_path, help="the photo, for models that can see")
    enrich.add_argument("--table", type=a_path, help="enrich the prompts of a batch's table instead; see `batch`")
    enrich.add_argument("--out", type=new_file(".csv"), help="CSV to write the enriched table to, for `batch --table`")
    who = enrich.add_argument_group("whom to ask (without either, a template is filled: offline, no model)")
    who.add_argument("--vlm", type=a_path, metavar="FOLDER", help="a vision-language model for transformers")
    who.add_argument("--device", type=a_device, default="cpu", help="where that model computes")
    who.add_argument("--server", metavar="URL", help="an OpenAI-compatible one of yours: http://localhost:11434/v1")
    who.add_argument("--server-model", default="", help="name of the model there")
    who.add_argument("--timeout", type=number(0.1, 86400), default=60.0, help="seconds for an answer of the server")
    who.add_argument("--ask-again", action="store_true", help="do not look up earlier answers")


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
    from ..enrich.local import LocalModel
    from ..enrich.server import Server

    if options.vlm and options.server:
        raise IVGError("Give --vlm or --server, not both.")
    enricher: LocalModel | Server | None = None
    if options.vlm:
        enricher = LocalModel(options.vlm, options.device)
    elif options.server:
        enricher = Server(options.server, options.server_model, options.timeout)
    cache = None if options.ask_again else default_cache()
    return lambda action, image: enrich_action(action, image, enricher, cache)
