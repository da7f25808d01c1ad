"""Which checkpoints are published, and where. Nothing here is fetched unless a person asks for it by name."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import quote

from ..errors import IVGError

HUB = "https://huggingface.co"
# A text-to-video model in diffusers' layout; everything else in such a repository is the same in other formats.
FOLDERS = ("unet/", "vae/", "text_encoder/", "tokenizer/", "scheduler/")


@dataclass(frozen=True)
class Source:
    """A published checkpoint: one archive at `url`, or the repository `repo` on the Hugging Face hub."""

    name: str  # of the folder below models/ivg
    about: str
    licence: str
    page: str  # where its makers publish it
    url: str = ""
    repo: str = ""
    sha256: str = ""  # of the archive, if its makers say it
    hub: str = HUB

    @property
    def verified_by(self) -> str:
        """How a download of it is checked, for people."""
        if self.repo:
            return "the size and SHA-256 of each file that the hub states"
        if self.sha256:
            return f"SHA-256 {self.sha256}"
        return "its size and structure; its makers publish no checksum"


@dataclass(frozen=True)
class Part:
    """One file to fetch."""

    url: str
    path: str  # below the checkpoint's folder
    size: int  # bytes; 0 if unknown
    sha256: str  # "" if nobody says it
    by_hand: str  # what to do when it cannot be fetched


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="IVG.1.0",
            about="Instructional Video Generation, the paper's checkpoint (stage 2; no stage-1 weights are published)",
            licence="none stated; grown from zeroscope (CC-BY-NC-4.0), so treat it as non-commercial",
            page="https://excitedbutter.github.io/project_page/",
            url="https://drive.usercontent.google.com/download?id=1sWlr5r54_XxqdgHoCacS7opoucABpEVx"
            "&export=download&confirm=t",
        ),
        Source(
            name="animate_anything_512_v1.02",
            about="animate-anything, the checkpoint that IVG was trained from (stage 2)",
            licence="code MIT; grown from zeroscope (CC-BY-NC-4.0), so treat it as non-commercial",
            page="https://github.com/alibaba/animate-anything",
            url="https://cloudbook-public-production.oss-cn-shanghai.aliyuncs.com/animation/animate_anything_512_v1.02.tar",
        ),
        Source(
            name="zeroscope_v2_576w",
            about="the text-to-video model beneath both, to begin a training from; makes no videos of photos by itself",
            licence="CC-BY-NC-4.0: non-commercial",
            page="https://huggingface.co/cerspense/zeroscope_v2_576w",
            repo="cerspense/zeroscope_v2_576w",
        ),
    )
}


def find_source(name: str) -> Source:
    """A published checkpoint by its name.

    Raises:
        IVGError: there is none of this name.
    """
    if name not in SOURCES:
        raise IVGError(f"There is no published checkpoint {name!r}: choose one of {', '.join(SOURCES)}.")
    return SOURCES[name]


def list_parts(source: Source, timeout: float = 30.0) -> list[Part]:
    """Ask the server which files a checkpoint has, and how large they are. Fetches none of them.

    Raises:
        IVGError: the server cannot be reached or answers something else.
    """
    by_hand = f"open {source.page}, download it there, and unpack it into models/ivg/{source.name}"
    try:
        return _hub_parts(source, by_hand, timeout) if source.repo else [_archive_part(source, by_hand, timeout)]
    except urllib.error.HTTPError as error:
        raise IVGError(
            f"{source.name} cannot be had (HTTP {error.code} {error.reason} at {error.url}): {by_hand}."
        ) from error
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", None) or error
        raise IVGError(
            f"The server of {source.name} cannot be reached or answers oddly ({reason}): look at your connection, or "
            f"{by_hand}."
        ) from error


def _archive_part(source: Source, by_hand: str, timeout: float) -> Part:
    headers = {"User-Agent": "comfy-ivg", "Accept-Encoding": "identity"}
    request = urllib.request.Request(source.url, headers=headers, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            page = "text/html" in answer.headers.get("Content-Type", "")
            size = 0 if page else int(answer.headers.get("Content-Length") or 0)
    except urllib.error.HTTPError as error:
        if error.code not in (403, 405, 501):  # with these the server only refuses to say the size beforehand
            raise
        size = 0
    return Part(source.url, source.name + ".archive", size, source.sha256, by_hand)


def _hub_parts(source: Source, by_hand: str, timeout: float) -> list[Part]:
    request = urllib.request.Request(
        f"{source.hub}/api/models/{source.repo}/tree/main?recursive=true", headers={"User-Agent": "comfy-ivg"}
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        listed = {file["path"]: file for file in json.load(answer) if file["type"] == "file"}
    wanted = [path for path in listed if path.startswith(FOLDERS) and not _is_double(path, listed.keys())]
    if not any(path.startswith("unet/") for path in wanted):
        raise ValueError("it lists no unet/")
    return [
        Part(
            f"{source.hub}/{source.repo}/resolve/main/{quote(path)}",
            path,
            int(listed[path]["size"]),
            (listed[path].get("lfs") or {}).get("oid", ""),
            by_hand,
        )
        for path in wanted
    ]


def _is_double(path: str, paths) -> bool:
    """Whether the same weights are there in a better form: safetensors before .bin, full before fp16."""
    stem, _, suffix = path.rpartition(".")
    if ".fp16." in path:
        return path.replace(".fp16.", ".") in paths
    if suffix != "bin":
        return False
    return any(f"{name}.safetensors" in paths for name in (stem, stem.replace("pytorch_model", "model")))
