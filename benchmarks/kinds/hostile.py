"""What an attacker would send: code in weights, archives and listings that lead elsewhere, addresses."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from ivg_core.checkpoints.download import download
from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.checkpoints.sources import SOURCES, list_parts
from ivg_core.checkpoints.unpack import unpack
from ivg_core.enrich.enrich import enrich_action
from ivg_core.enrich.local import LocalModel
from ivg_core.enrich.server import Server
from ivg_core.errors import IVGError
from ivg_core.evaluate.families import FAMILIES

from . import odd
from .case import CANARY, ROOT, Case, kind
from .checkpoints import tiny, tiny_copy


class Trap:
    """Writes the canary when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return Path.touch, (self.folder / CANARY,)


class Execute(Trap):
    """The same by way of `exec`."""

    def __reduce__(self) -> tuple:
        return exec, (f"open({str(self.folder / CANARY)!r}, 'w').close()",)


def trapped(rng: random.Random, folder: Path) -> Any:
    """A trap alone, or among tensors where one may not look for it."""
    trap = rng.choice((Trap, Execute))(folder)
    return rng.choice(
        (
            trap,
            {"state_dict": {"a": torch.ones(2), "b": trap}},
            [torch.ones(2, 2), trap],
            {"a.weight": trap, "steps": 1},
        )
    )


def write_trap(rng: random.Random, path: Path, folder: Path) -> str:
    """A file that runs code when it is unpickled; how it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    thing, form = trapped(rng, folder), rng.choice(("pickle", "torch", "old torch", "pickle in a zip"))
    if form == "pickle":
        path.write_bytes(pickle.dumps(thing, protocol=rng.randrange(6)))
    elif form == "pickle in a zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("archive/data.pkl", pickle.dumps(thing))
            packed.writestr("archive/version", "3")
    else:
        torch.save(thing, path, _use_new_zipfile_serialization=form == "torch")
    return form


@kind("library", 70)
def code_in_weights(rng: random.Random, folder: Path) -> Case:
    """Pickles in the place of every weight file: never executed."""
    where = rng.choice(("lora", "checkpoint", "metric", "words", "one file"))
    ending = rng.choice((".pt", ".bin", ".ckpt", ".pth", ".pkl", ".safetensors", ".PT", ".sft", ""))
    if where == "lora":
        path = folder / f"lora{ending}"
        call: Callable[[], Any] = lambda: read_lora(path, tiny().for_stage(2))  # noqa: E731
    elif where == "one file":
        path = folder / f"model{ending}"
        call = lambda: (str(inspect_checkpoint(path)), load_model(path))  # noqa: E731
    elif where == "checkpoint":
        copy = tiny_copy(folder)
        part, (stem, file_end) = (
            rng.choice(("unet", "vae", "text_encoder")),
            rng.choice(
                (
                    ("diffusion_pytorch_model", ".bin"),
                    ("pytorch_model", ".bin"),
                    ("model", ".fp16.bin"),
                    ("model", ".safetensors"),
                )
            ),
        )
        [found.unlink() for found in (copy / part).glob("*.safetensors")]
        path = copy / part / f"{stem}{file_end}"
        call = lambda: (str(inspect_checkpoint(copy)), load_model(copy))  # noqa: E731
    elif where == "metric":
        name = rng.choice(
            ("pt_inception-2015-12-05-6726825d.pth", "egovlp.pth", "clip/pytorch_model.bin", "blip/pytorch_model.bin")
        )
        path = folder / name
        if "/" in name:
            path.parent.mkdir()
            (path.parent / "config.json").write_text(
                json.dumps({"model_type": path.parent.name, "auto_map": {"AutoModel": "code.Model"}})
            )
            (path.parent / "code.py").write_text(f"open({str(folder / CANARY)!r}, 'w')")
        call = lambda: [_loaded(family, folder) for family in FAMILIES]  # noqa: E731
    else:
        path = folder / "vlm" / "pytorch_model.bin"
        path.parent.mkdir()
        about = {
            "model_type": rng.choice(("llava", "x")),
            "architectures": ["Model"],
            "auto_map": {"AutoModelForImageTextToText": "code.Model"},
        }
        (path.parent / "config.json").write_text(json.dumps(about))
        (path.parent / "code.py").write_text(f"open({str(folder / CANARY)!r}, 'w')")
        call = lambda: LocalModel(folder / "vlm")("stir", None)  # noqa: E731
    form = write_trap(rng, path, folder)
    return Case(f"{where}: {path.relative_to(folder)} as {form}", call)


def _loaded(family: Any, folder: Path) -> Any:
    try:
        return family.load(folder, "cpu")
    except IVGError as error:  # each metric says alone what it lacks
        return str(error)


@lru_cache(1)
def _stopped() -> Path:
    """A training that was stopped after a step, with everything that holds a state."""
    sys.path.insert(0, str(ROOT / "tests" / "core"))
    from training_clips import clips, small

    from ivg_core.training.trainer import train

    folder = Path(tempfile.mkdtemp(prefix="ivg-malformed-training-"))
    asked = iter((True, True, True))
    train(small(folder, steps=2, ema=0.9), tiny(), clips(2, size=(8, 8)), should_stop=lambda: next(asked))
    return folder


@kind("library", 40)
def folders_to_resume_from(rng: random.Random, folder: Path) -> Case:
    """Each piece of a resume folder with code in it, cut, or of another kind: never executed, one sentence."""
    source = _stopped()
    from training_clips import clips, small

    from ivg_core.training.trainer import train

    shutil.copytree(source, folder / "run")
    (checkpoint,) = (folder / "run").glob("checkpoint-*")
    names = ["custom_checkpoint_0.pkl", "scheduler.bin", "sampler.bin", "scaler.pt", "pytorch_model.bin"]
    path = checkpoint / rng.choice([*(found.name for found in checkpoint.iterdir() if found.is_file()), *names])
    how = rng.choice(("code", "code", "cut", "a text", "another tensor", "nothing", "gone", "{}"))
    content = path.read_bytes() if path.is_file() else b"x" * 100
    if how == "code":
        how += " as " + write_trap(rng, path, folder)
    elif how == "another tensor":
        torch.save({"state": torch.ones(3)}, path)
    elif how == "gone":
        path.unlink(missing_ok=True)
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "a text": b"stir", "nothing": b"", "{}": b"{}"}[how])
    config = small(folder / "run", steps=2, ema=0.9)
    call = lambda: train(config, tiny(), clips(2, size=(8, 8)), resume="auto").step  # noqa: E731
    return Case(f"resume with {path.name}: {how}", call)


ABSOLUTE = Path(tempfile.gettempdir()) / "ivg_outside.txt"
NAMES = (
    "../outside.txt", str(ABSOLUTE), "a/../../outside.txt", "..\\outside.txt", "C:\\outside.txt",
    "C:outside.txt", "", ".",
    "./", "..", "unet/../../outside", "~/outside.txt", "a\0b", "unet/\ud800", "n" * 300, "unet", "con", "unet/./x",
    "//x",
    "unet//../../../outside", "\\\\nas\\x", "-rf", "unet/config.json", "a:b", " ", "unet/" + "d/" * 3000 + "x",
)  # fmt: skip


def _outside(folder: Path) -> Callable[[Any], str]:
    """Whether anything lies where it should not."""

    def wrong(_: Any) -> str:
        strange = [path for path in (folder / "outside.txt", folder / "outside", ABSOLUTE) if path.exists()]
        return f"{strange[0]} was written" if strange else ""

    return wrong


@kind("library", 100)
def archives(rng: random.Random, folder: Path) -> Case:
    """Members with names that lead out, links, devices, bombs, cut files: nothing lands outside."""
    name, form = rng.choice(NAMES), rng.choice(("tar", "tar.gz", "zip"))
    sort = rng.choice(("file", "file", "link", "hard link", "device", "folder", "fifo")) if form != "zip" else "file"
    path = folder / f"archive.{form}"
    stream = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
            entry = zipfile.ZipInfo("x")
            entry.filename = name.encode("utf-8", "replace").decode()
            entry.flag_bits = rng.choice((0, 0, 0, 1))
            entry.external_attr = rng.choice((0, 0o120777 << 16))
            packed.writestr(entry, b"outside")
            packed.writestr("unet/config.json", "{}")
    else:
        with tarfile.open(fileobj=stream, mode="w:gz" if form == "tar.gz" else "w") as tape:
            link = tarfile.TarInfo("unet")
            kinds = {"file": b"0", "link": b"2", "hard link": b"1", "device": b"3", "folder": b"5", "fifo": b"6"}
            entry = tarfile.TarInfo(name.replace("\0", "").replace("\ud800", "\udcff"))
            entry.type, entry.linkname = kinds[sort], str(folder)
            if sort == "file":
                entry.size = 7
                tape.addfile(entry, io.BytesIO(b"outside"))
            else:
                tape.addfile(entry)
            link.type, link.linkname = b"2", ".."
            if sort == "link":
                tape.addfile(link)
    content = stream.getvalue()
    path.write_bytes(content if rng.random() < 0.8 else content[: rng.randrange(len(content))])
    return Case(
        f"unpack a {form} with a {sort} {name[:40]!r}", lambda: unpack(path, folder / "in" / "it"), _outside(folder)
    )


@kind("library", 60)
def listings(rng: random.Random, folder: Path) -> Case:
    """A server that lists names which lead elsewhere, or other things than names."""
    from huggingface_hub import HfApi

    source = rng.choice([source for source in SOURCES.values() if source.repo])
    name = rng.choice((*NAMES, *(f"unet/{name}" for name in NAMES), None, 5, ["unet"]))
    size = rng.choice((7, None, -1, 10**30, "7", float("nan")))
    sibling = lambda file: SimpleNamespace(rfilename=file, size=size, lfs=None, blob_id=rng.choice((None, "", "x", 5)))  # noqa: E731
    files = [sibling("unet/config.json"), sibling("unet/diffusion_pytorch_model.safetensors"), sibling(name)]
    info = SimpleNamespace(
        siblings=rng.choice((files, files, files, None, [], "unet")), sha=rng.choice(("a" * 40, None, "../.."))
    )
    whole = rng.random() < 0.5

    def fetched(part: Any, partial: Path, on_bytes: Any, wait: float) -> None:
        partial.write_bytes(b"outside")

    def call():
        with (
            mock.patch.object(HfApi, "model_info", lambda *_, **__: info),
            mock.patch("ivg_core.checkpoints.download.fetch", fetched),
        ):
            return download(source, folder / "models" / "ivg", wait=0) if whole else list_parts(source)

    return Case(
        f"{'download' if whole else 'list_parts'} of a listing with {name!r:.60}, size {size}", call, _outside(folder)
    )


ADDRESSES = (
    "http://127.0.0.1:1/v1", "http://[::1]:1/v1", "http://10.255.255.1:1", "http://8.8.8.8/v1",
    "http://127.0.0.1@8.8.8.8/v1", "ftp://127.0.0.1",
    "http://8.8.8.8#@127.0.0.1/", "http://8.8.8.8?@127.0.0.1", "file:///etc/passwd", "http://", "",
    "localhost:11434", "http://169.254.169.254/latest",
    "http://[fe80::1%25eth0]/", "http://198.18.0.1/", "http://100.64.0.1:1/v1", "http://0.0.0.0:1",
    "http://[::ffff:8.8.8.8]/", "http://2130706433:1/",
    "http://0x7f.1:1/", "http://127.1:1/", "http://127.0.0.1:99999", "http://127.0.0.1:-1", "http://127.0.0.1:abc",
    "http://\ud800/", "http://a\0b/",
    "http://127.0.0.1:1/\r\nX: y", "javascript:alert(1)", "http://" + "a" * 300 + ".invalid",
    "http://nobody.invalid/v1", "http://[::1", "https://127.0.0.1:1",
    "HTTP://LOCALHOST:1", "http://224.0.0.1:1", "http://255.255.255.255:1", "http://１２７.0.0.1:1/",
    "http://localhost.:1/", "\thttp://127.0.0.1:1",
)  # fmt: skip


@kind("library", 80)
def addresses_of_servers(rng: random.Random, folder: Path) -> Case:
    """Nobody but the user's own machine and network is asked."""
    url, timeout = rng.choice(ADDRESSES), rng.choice((0.2, 0.2, 0.2, 0, -1, float("nan"), float("inf"), 1e300))
    if "10.255" in url or "100.64" in url:
        timeout = 0.2
    call = lambda: enrich_action("stir the pan", odd.photo(rng), Server(url, odd.text(rng), timeout))  # noqa: E731
    return Case(f"Server({url!r}, timeout={timeout})", call)


class _Answers:
    """A server of the user's own that answers anything."""

    def __init__(self, body: bytes, status: int, length: int | None) -> None:
        import http.server
        import threading

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "http://8.8.8.8/")
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@kind("library", 60)
def answers_of_servers(rng: random.Random, folder: Path) -> Case:
    """What a language model's server may answer: a sentence, or one that says that it did not."""
    said: Any = "The person stirs the pan."
    body, status, length = b"", 200, None
    odd_part = rng.choice(("text", "text", "shape", "body", "status", "length"))
    if odd_part == "text":
        said = rng.choice((odd.text(rng), odd.text(rng), odd.value(rng), "word " * 5000, [{"text": "a"}]))
    thing: Any = {"choices": [{"message": {"content": said}}]}
    if odd_part == "shape":
        thing = rng.choice(({"choices": []}, {"choices": "a"}, {"choices": [None]}, {"error": said}, [], None, 5))
    elif odd_part == "body":
        body = rng.choice((b"[" * 100_000, b"\xff\xfe", b"<html>", b"", b"x" * 3_000_000))
    elif odd_part == "status":
        status = rng.choice((302, 307, 404, 500, 204))
    elif odd_part == "length":
        length = rng.choice((10**9, 0))
    if odd_part != "body":
        try:
            body = json.dumps(thing).encode("utf-8", "surrogatepass")
        except TypeError:  # no JSON
            body = b"{"

    def call():
        server = _Answers(body, status, length)
        try:
            return enrich_action("stir the pan", None, Server(server.url, "m", 2.0))
        finally:
            server.close()

    wrong = lambda found: "" if isinstance(found, str) and found.strip() and len(found) < 5000 else f"{found!r:.80}"  # noqa: E731
    return Case(f"an answer {status} of {body[:60]!r}, length {length}", call, wrong)
