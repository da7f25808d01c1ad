"""The published checkpoints: where each comes from, under which licence, of which files it consists."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import IVGError
from ..media.files import plain_path

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

# A text-to-video model in diffusers' layout; everything else in such a repository is the same in other formats.
FOLDERS = ("unet/", "vae/", "text_encoder/", "tokenizer/", "scheduler/")


@dataclass(frozen=True)
class Source:
    """What is published: a checkpoint, as one archive at `url` or the repository `repo` on the Hugging Face hub.

    Or weights that are kept as they are: one file at `url`, called `file`, or some `files` of `repo`.
    """

    name: str  # of the folder below models/ivg
    about: str
    licence: str
    page: str  # where its makers publish it
    url: str = ""
    repo: str = ""
    revision: str = "main"  # of the repository; a branch is resolved to its commit first
    sha256: str = ""  # of the archive, if its makers say it
    takes_photo: bool = True  # otherwise it makes videos of sentences
    file: str = ""  # name of the one file; it is no archive
    files: tuple[str, ...] = ()  # of the repository, as far as it has them; none: a checkpoint's
    hub: str = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"

    @property
    def verified_by(self) -> str:
        """How a download of it is checked, for people."""
        if self.repo:
            return "the size and checksum of each file that the hub states"
        if self.sha256:
            return f"SHA-256 {self.sha256}"
        if self.file:
            return "its size; its makers publish no checksum, so that of the file that comes is kept beside it"
        return "its size and structure; its makers publish no checksum"

    @property
    def by_hand(self) -> str:
        """What to do when it cannot be fetched."""
        if self.file:
            return f"open {self.page}, download it there, and put it into the folder as {self.file}"
        if self.files:
            return f"open {self.page}, and download its files into a folder {self.name}"
        return f"open {self.page}, download it there, and unpack it into models/ivg/{self.name}"

    def next_steps(self, folder: str | os.PathLike) -> list[str]:
        """What a text-to-video model in this folder is good for, in lines for people; none for models of photos."""
        if self.takes_photo:
            return []
        return [
            f'A video of a sentence: python -m ivg_core generate --model {folder} --prompt "…" --out video.mp4',
            f"An IVG model to train, from it: python -m ivg_core init-model {folder} --out NEW_FOLDER",
        ]


@dataclass(frozen=True)
class Part:
    """One file to fetch."""

    url: str
    path: str  # below the checkpoint's folder
    size: int  # bytes; 0 if unknown
    by_hand: str  # what to do when it cannot be fetched
    sha256: str = ""  # "" if nobody says it
    blob: str = ""  # git's own checksum, which the hub states for small files
    revision: str = ""  # the hub's commit


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
            about="the text-to-video model beneath both: makes videos of sentences; trainings of IVG begin from it",
            licence="CC-BY-NC-4.0: non-commercial",
            page="https://huggingface.co/cerspense/zeroscope_v2_576w",
            repo="cerspense/zeroscope_v2_576w",
            takes_photo=False,
        ),
        Source(
            name="text-to-video-ms-1.7b",
            about="ModelScope's text-to-video model, which zeroscope was trained from: makes videos of sentences",
            licence="CC-BY-NC-4.0: non-commercial",
            page="https://huggingface.co/damo-vilab/text-to-video-ms-1.7b",
            repo="damo-vilab/text-to-video-ms-1.7b",
            takes_photo=False,
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
    return _hub_parts(source, timeout) if source.repo else [_only_part(source, timeout)]


def _only_part(source: Source, timeout: float) -> Part:
    size = 0
    try:
        with open_url(source.url, timeout, method="HEAD") as answer:
            if "text/html" not in answer.headers.get("Content-Type", ""):
                size = int(answer.headers.get("Content-Length") or 0)
    except urllib.error.HTTPError as error:
        if error.code not in (403, 405, 501):  # with these the server only refuses to say the size beforehand
            raise IVGError(
                f"{source.name} could not be downloaded (HTTP {error.code} {error.reason} at {error.url}): "
                f"{source.by_hand}."
            ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(source, getattr(error, "reason", None) or error) from error
    return Part(source.url, source.file or source.name + ".archive", size, source.by_hand, sha256=source.sha256)


def _hub_parts(source: Source, timeout: float) -> list[Part]:
    from huggingface_hub import HfApi

    try:
        info = HfApi(endpoint=source.hub, token=False).model_info(
            source.repo, revision=source.revision, timeout=timeout, files_metadata=True
        )
        listed = {file.rfilename: file for file in info.siblings or []}
        if odd := [file for file in listed.values() if not _is_plain(file)]:
            raise ValueError(f"it lists {odd[0].rfilename!r} with a size of {odd[0].size!r}")
        commit = str(info.sha)
    except Exception as error:  # the kinds that the hub's client raises change with its version
        raise _unreachable(source, error) from error
    needed = source.files[0] if source.files else "unet/"
    asked = [path for path in listed if (path in source.files if source.files else path.startswith(FOLDERS))]
    wanted = [path for path in asked if not _is_double(path, listed.keys())]
    if not any(path.startswith(needed) for path in wanted):
        raise _unreachable(source, f"it lists no {needed}")
    return [_hub_part(source, listed[path], commit) for path in wanted]


def _is_plain(file: RepoSibling) -> bool:
    """Whether an entry of a listing is what it should be; the hub's client passes on whatever the server says."""
    return isinstance(file.rfilename, str) and (file.size is None or (type(file.size) is int and file.size >= 0))


def _hub_part(source: Source, file: RepoSibling, commit: str) -> Part:
    from huggingface_hub import hf_hub_url

    return Part(
        url=hf_hub_url(source.repo, file.rfilename, revision=commit, endpoint=source.hub),
        path=str(plain_path(file.rfilename, f"{source.hub}/{source.repo}")),
        size=file.size or 0,
        by_hand=source.by_hand,
        sha256=file.lfs.sha256 if file.lfs else "",
        blob="" if file.lfs else file.blob_id or "",
        revision=commit,
    )


def _unreachable(source: Source, reason: object) -> IVGError:
    said = " ".join(str(reason).split()) or type(reason).__name__
    return IVGError(
        f"The server of {source.name} cannot be reached or answers oddly ({said}): look at your connection, or "
        f"{source.by_hand}."
    )


def _is_double(path: str, paths) -> bool:
    """Whether the same weights are there in a better form: safetensors before .bin, full before fp16."""
    stem, _, suffix = path.rpartition(".")
    if ".fp16." in path:
        return path.replace(".fp16.", ".") in paths
    if suffix != "bin":
        return False
    return any(f"{name}.safetensors" in paths for name in (stem, stem.replace("pytorch_model", "model")))


def open_url(url: str, timeout: float, method: str = "GET", headers: dict[str, str] | None = None):
    """Open an address of the web, and of nothing else: no file:, no ftp:, whatever a server redirects to.

    Args:
        url: http: or https:.
        timeout: seconds without a byte.
        method: GET or HEAD.
        headers: to send besides ours.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    ours = {"User-Agent": "comfy-ivg", "Accept-Encoding": "identity"}
    return opener.open(urllib.request.Request(url, headers={**ours, **(headers or {})}, method=method), timeout=timeout)
