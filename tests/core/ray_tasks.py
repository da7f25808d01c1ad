"""What the workers of the tests' Ray clusters do; they import it by its name."""

import logging
import os
import time
from pathlib import Path

import ray
import torch


def node_id() -> str:
    return ray.get_runtime_context().get_node_id()


def load_by_name(folder: Path, bad_node: str = ""):
    """A worker that does what a task's name says; `<folder>/loaded` gets a line for each that is made."""
    if node_id() == bad_node:
        raise FileNotFoundError("no weights here")
    logging.getLogger("ivg").warning("The weights are old.")
    with open(folder / "loaded", "a") as file:
        file.write(f"{os.getpid()}\n")

    def do(name: str) -> dict:
        match name.split():
            case ["warns"]:
                for _ in range(2):
                    logging.getLogger("ivg").warning("The photo is dark.")
            case ["fails"]:
                raise ValueError("a bad photo")
            case ["dies"]:
                os._exit(9)
            case ["dies", "once"] if not (folder / name).exists():
                (folder / name).touch()
                os._exit(9)
            case ["dies", "after"]:
                (folder / name).touch()
                os._exit(9)
            case ["sleeps", seconds, *_]:
                time.sleep(float(seconds))
        return {"name": name, "threads": torch.get_num_threads(), "node": node_id(), "folder": os.getcwd()}

    return do


def load_and_die():
    os._exit(9)
