"""What becomes of made-up inputs: damaged, odd, hostile ones, given to library, command line and nodes.

    python -m benchmarks malformed --record benchmarks --out out/malformed.txt    # all, a quarter of an hour
    python -m benchmarks malformed --kind masks_of_other_tools --kind lora_files  # some kinds
    python -m benchmarks malformed --kind lora_files --case 17                    # one input again, and its end

`benchmarks/kinds/` says what is tried, a file a subject. Each input is made from seed, kind and number alone, in a
folder of its own, by a process that lives for many of them, may use 8 GiB, and is watched: for time, for memory, for
files of others that are opened, for addresses that are asked. What counts as right stands in
`benchmarks/kinds/case.py`. With a ComfyUI in COMFYUI_PATH, `--prompts 300` also queues so many odd prompts there.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import multiprocessing
import os
import random
import re
import resource
import shutil
import socket
import sys
import tempfile
import time
import traceback
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.kinds.case import CANARY, KINDS, OUTCOMES, ROOT, SECRET, TINY, Verdict, judge
from ivg_core.errors import IVGError

MEMORY = 8 << 30
SECONDS = 30.0
STARTS = 120.0  # seconds that a process may take to import everything
UNMADE = "unmade"  # an outcome of inputs that this measurement itself could not make
SHOWN = 6  # different failures of a kind in the report


@dataclass
class Tried:
    """What became of the inputs of one kind: how many ended how, and the first example of each different failure."""

    counts: Counter = field(default_factory=Counter)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    times: Counter = field(default_factory=Counter)  # how often each failure came
    seconds: float = 0.0

    def add(self, number: int, said: str, verdict: Verdict) -> None:
        self.counts[verdict.outcome] += 1
        if verdict.outcome not in ("fine", "sentence"):
            key = (verdict.outcome, _alike(verdict.text))
            self.failures.setdefault(key, f"case {number}: {said}\n        {verdict.text}")
            self.times[key] += 1


def bench_malformed(
    kinds: Sequence[str] = (), seed: int = 0, share: float = 1.0, out: Path | None = None
) -> dict[str, float]:
    """Try the inputs of some kinds, or of all.

    Args:
        kinds: their names; none takes all.
        seed: of everything that is made up.
        share: of each kind's inputs, 0..1; at least one of each is tried.
        out: file for the table by kind, which grows while it is measured.

    Returns:
        How many were tried, and how many ended in each wrong way.
    """
    load_kinds()
    unknown = [name for name in kinds if name not in KINDS]
    if unknown:
        raise IVGError(f"There is no kind {unknown[0]!r}: choose of {', '.join(KINDS)}.")
    total: Counter = Counter()
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("")
    with Worker(seed) as worker:
        for name in kinds or KINDS:
            tried = Tried()
            began = time.monotonic()
            for number in range(max(1, round(share * KINDS[name].count))):
                tried.add(number, *worker.tries(name, number))
            tried.seconds = time.monotonic() - began
            total += tried.counts
            text = _as_text(name, tried)
            print(text, flush=True)
            if out:
                with open(out, "a") as file:
                    file.write(text + "\n")
    figures = {"tried": total.total(), **{outcome: total[outcome] for outcome in (*OUTCOMES, UNMADE)}}
    if out:
        with open(out, "a") as file:
            file.write(f"\nall kinds: {', '.join(f'{value} {key}' for key, value in figures.items())}\n")
    return figures


def bench_prompts(count: int, seed: int = 0, out: Path | None = None) -> dict[str, float]:
    """Queue odd prompts in a real ComfyUI (COMFYUI_PATH), which must live on.

    Args:
        count: how many.
        seed: of everything that is made up.
        out: file that the list of bad ends is put behind.

    Returns:
        ``prompts_tried``, ``prompts_raw`` (an error of ours that is no sentence), ``prompts_dead`` (no end, or none of
        the next one).
    """
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "comfyui")]
    from malformed_prompts import as_text, try_prompts

    from comfy_harness import ComfyServer, installed_comfyui

    found = installed_comfyui()
    if found is None:
        raise IVGError("There is no ComfyUI: name its folder in COMFYUI_PATH, or leave out --prompts.")
    with tempfile.TemporaryDirectory() as models:
        (Path(models) / "tiny").symlink_to(TINY)
        with ComfyServer(found[0], [ROOT], python=found[1], models={"ivg": Path(models)}) as server:
            tried = try_prompts(server, count, seed)
    text = f"prompts in ComfyUI: {as_text(tried)}".encode("utf-8", "backslashreplace").decode()
    print(text)
    if out:
        with open(out, "a") as file:
            file.write(text + "\n")
    ends = Counter(end.how for _, end in tried)
    return {"prompts_tried": len(tried), "prompts_raw": ends["raw"], "prompts_dead": ends["dead"]}


def show_case(name: str, number: int, seed: int = 0) -> str:
    """One input again: what it is, and what became of it."""
    with Worker(seed) as worker:
        said, verdict = worker.tries(name, number)
    return f"{name}, case {number}: {said}\n    {verdict.outcome}: {verdict.text}"


def load_kinds() -> None:
    """Fill `KINDS`."""
    from benchmarks.kinds import (  # noqa: F401
        arguments,
        checkpoints,
        commands,
        files,
        hostile,
        loras,
        nodes,
        originals,
        pictures,
        settings,
        texts,
    )


def _as_text(name: str, tried: Tried) -> str:
    counts = ", ".join(f"{tried.counts[outcome]} {outcome}" for outcome in (*OUTCOMES, UNMADE) if tried.counts[outcome])
    lines = [f"{name} ({KINDS[name].surface}, {tried.counts.total()} tried, {tried.seconds:.0f} s): {counts}"]
    often = sorted(tried.failures.items(), key=lambda pair: -tried.times[pair[0]])
    for key, example in often[:SHOWN]:
        lines.append(f"    {key[0]} x {tried.times[key]}, {example}")
    if len(often) > SHOWN:
        lines.append(f"    ... and {len(often) - SHOWN} other failures")
    return "\n".join(lines)


def _alike(text: str) -> str:
    """What two failures of one cause have in common: the line they come from, or their text up to what is quoted."""
    place = text.rpartition("(")[2]
    if place.endswith(")") and ".py:" in place:
        return f"{text.partition(':')[0]} {place}"
    return re.sub(r"[-\d.]+", "#", re.split("['\"{(\\[]", text)[0])[:70]


class Worker:
    """A process that tries one input after the other; a new one takes the place of one that dies, hangs or grows."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.process: Any = None

    def __enter__(self) -> Worker:
        self.folder = Path(tempfile.mkdtemp(prefix="ivg-malformed-"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tries(self, name: str, number: int) -> tuple[str, Verdict]:
        """What one input is, and what became of it."""
        if self.process is None:
            self._start()
        self.pipe.send((name, number))
        began, limit, said = time.monotonic(), STARTS, ""  # until it is made
        while True:
            try:
                if self.pipe.poll(0.1):
                    answer = self.pipe.recv()
                    if isinstance(answer, Verdict):
                        return said, answer
                    began, limit, said = time.monotonic(), SECONDS, answer  # what is tried now
                    continue
            except (EOFError, ConnectionError):
                self.process.join(5)
                code = self.process.exitcode
                self._stop()
                return said, Verdict("tracebacks", f"the process died with status {code}")
            if (size := _size(self.process.pid)) > MEMORY:
                self._stop()
                return said, Verdict("over_memory", f"{size / 2**30:.1f} GiB")
            if time.monotonic() - began > limit:
                self._stop()
                return said, Verdict("too_slow", f"no end after {limit:.0f} s")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self.seed, self.folder), daemon=True)
        self.process.start()
        theirs.close()
        if not self.pipe.poll(STARTS) or self.pipe.recv() != "ready":
            raise RuntimeError("the process that tries the inputs does not start")

    def _stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
                    process.kill()
            self.process.join()
            self.process = None


def _size(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def work(pipe: Any, seed: int, folder: Path) -> None:
    """The other process: take kind and number, try that input, send what it is and what became of it."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        if not os.environ.get("IVG_MALFORMED_SHOW"):
            os.dup2(nothing.fileno(), 2)
    tempfile.tempdir = str(folder)  # goes with it, even when this process is killed
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    load_kinds()
    watch = Watch()
    pipe.send("ready")
    while True:
        try:
            name, number = pipe.recv()
        except EOFError:
            return
        with case_folder(folder) as place:
            try:
                case = KINDS[name].make(random.Random(f"{seed} {name} {number}"), place)
            except Exception:  # the fault is ours, not the pack's
                pipe.send(Verdict(UNMADE, traceback.format_exc()[-400:]))
                continue
            pipe.send(case.said.encode("utf-8", "backslashreplace").decode())
            watch.start()
            verdict = watch.over(judge(case, watch.stop))
            if list(place.rglob(CANARY)):
                verdict = Verdict("executed", f"code of the input ran; {verdict.outcome}: {verdict.text}")
        text = verdict.text.encode("utf-8", "backslashreplace").decode()
        pipe.send(Verdict(verdict.outcome, " ".join(text.split())[:400]))


@contextlib.contextmanager
def case_folder(folder: Path) -> Iterator[Path]:
    """A fresh folder for one input, which is also the current one."""
    place = Path(tempfile.mkdtemp(dir=folder))
    os.chdir(place)
    try:
        yield place
    finally:
        os.chdir(folder)
        shutil.rmtree(place, ignore_errors=True)


class Watch:
    """Sees which files of others are opened and which addresses are asked; a strange address is not reached."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.on = False
        sys.addaudithook(self._hook)

    def start(self) -> None:
        """Watch what comes, and forget what was."""
        self.seen.clear()
        self.on = True

    def stop(self) -> None:
        """Leave alone what comes: the measurement itself looks at what was written."""
        self.on = False

    def over(self, verdict: Verdict) -> Verdict:
        """The verdict, or that something was touched that should not have been."""
        return Verdict("outside", f"{self.seen[0]}; {verdict.outcome}: {verdict.text}") if self.seen else verdict

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event in ("open", "os.listdir", "os.scandir") and SECRET in _real(arguments[0]):
            self.seen.append(f"{event} {arguments[0]!r}")
        elif event == "socket.getaddrinfo" and _is_name(str(arguments[0])) and not _near(str(arguments[0])):
            self.seen.append(f"the name {arguments[0]} was asked for")
            raise OSError("there is no network in this measurement")
        elif event == "socket.connect" and isinstance(arguments[1], tuple) and not _near(str(arguments[1][0])):
            self.seen.append(f"a connection to {arguments[1][0]}")
            raise OSError("there is no network in this measurement")


def _real(path: Any) -> str:
    """Where a path leads, behind all links; "" if it lies in ComfyUI's folders."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ""
    with contextlib.suppress(OSError, ValueError):
        found = os.path.realpath(os.fsdecode(path))
        return "" if "/comfy/" in found else found
    return ""


def _is_name(host: str) -> bool:
    """Whether a name server is asked for it: 127.1 and 0x7f.1 are numbers too, also in wide digits."""
    host = unicodedata.normalize("NFKC", host)
    with contextlib.suppress(ValueError):
        return not ipaddress.ip_address(host.partition("%")[0])
    with contextlib.suppress(OSError, ValueError):
        return not socket.inet_aton(host)
    return True


def _near(host: str) -> bool:
    """Whether asking a machine tells nobody anything: this one, its own network, a name that cannot be."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
        return address.is_private or address in ipaddress.ip_network("100.64.0.0/10")  # a private mesh
    except ValueError:
        return host in ("localhost", "") or host.endswith(".invalid")
