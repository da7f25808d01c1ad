"""Downloads against a real server that breaks off, ignores ranges, changes its file, sends web pages or lies."""

import contextlib
import errno
import hashlib
import http.server
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.checkpoints import sources
from ivg_core.checkpoints.download import RECORD, download, sha256_of
from ivg_core.checkpoints.sources import Source
from ivg_core.checkpoints.unpack import unpack
from ivg_core.cli import main
from ivg_core.errors import IVGError

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "golden" / "tiny_ckpt"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; how it misbehaves stands in the server's other attributes."""

    def do_HEAD(self):
        self.server.asked.append(("HEAD", self.path, None))
        if self.server.no_head:
            self.send_error(405)
        elif self.path.split("?")[0] in self.server.files:
            self.start(200, len(self.server.files[self.path.split("?")[0]]))
        else:
            self.send_error(404)

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(("GET", self.path, wanted))
        if self.server.errors:
            return self.send_error(self.server.errors.pop(0))
        if self.path.split("?")[0] not in self.server.files:
            return self.send_error(404)
        content, first = self.server.files[self.path.split("?")[0]], 0
        same = self.headers.get("If-Range") == self.server.version
        if wanted and same and self.server.ranges:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if first >= len(content):
                return self.send_error(416)
            self.start(206, len(content) - first, f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.start(200, len(content))
        most = self.server.breaks.pop(0) if self.server.breaks else len(content)
        self.wfile.write(content[first : first + most])

    def start(self, status, length, span=None):
        self.send_response(status)
        self.send_header("Content-Type", self.server.kind)
        if self.server.says_length:
            self.send_header("Content-Length", str(self.server.lie or length))
        self.send_header("ETag", self.server.version)
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.files, it.version, it.kind, it.lie = {}, '"one"', "application/octet-stream", 0
        it.breaks, it.errors, it.asked = [], [], []
        it.ranges = it.says_length = True
        it.no_head = False
        it.address = f"http://127.0.0.1:{it.server_port}"
        thread = threading.Thread(target=it.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield it
        it.shutdown()
        thread.join()


@pytest.fixture
def server():
    with serving() as it:
        yield it


def tar_of(folder: Path, inside: str = "tiny/") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as packed:
        packed.add(folder, inside)
    return data.getvalue()


def zip_of(folder: Path) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(folder))
    return data.getvalue()


@pytest.fixture(scope="session")
def archive():
    return tar_of(TINY)


@pytest.fixture
def source(server, archive):
    server.files["/tiny.tar"] = archive
    return Source("tiny", "for tests", "MIT", "http://example.org", url=f"{server.address}/tiny.tar")


def same_files(folder: Path) -> bool:
    names = [path.relative_to(TINY) for path in TINY.rglob("*") if path.is_file()]
    return all((folder / name).read_bytes() == (TINY / name).read_bytes() for name in names)


def gets(server) -> list:
    return [wanted for method, _, wanted in server.asked if method == "GET"]


def test_a_checkpoint_comes_whole_and_can_be_loaded(server, source, tmp_path):
    from ivg_core.checkpoints.load import load_model

    seen = []
    folder = download(source, tmp_path, on_bytes=lambda so_far, total: seen.append((so_far, total)))
    assert folder == tmp_path / "tiny" and same_files(folder)
    assert load_model(folder).unet is not None
    size = len(server.files["/tiny.tar"])
    assert seen[-1] == (size, size) and [n for n, _ in seen] == sorted(n for n, _ in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]  # nothing is left of the way there
    record = json.loads((folder / RECORD).read_text())
    assert record["files"]["tiny.archive"]["sha256"] == hashlib.sha256(server.files["/tiny.tar"]).hexdigest()
    assert record["files"]["tiny.archive"]["published_sha256"] is None


def test_what_is_there_is_not_fetched_again(server, source, tmp_path, caplog):
    download(source, tmp_path)
    server.asked.clear()
    with caplog.at_level(logging.WARNING, "ivg"):
        download(source, tmp_path)
    assert not server.asked and "is there already" in caplog.text


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 400_000), min_size=1, max_size=4))
def test_a_broken_connection_goes_on_where_it_broke(tmp_path_factory, archive, breaks):
    with serving() as server:
        server.files["/tiny.tar"], server.breaks = archive, list(breaks)
        source = Source("tiny", "", "", "", url=f"{server.address}/tiny.tar")
        assert same_files(download(source, tmp_path_factory.mktemp("models"), wait=0))
        begun = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in gets(server) if wanted]
        sent = [sum(breaks[: n + 1]) for n in range(len(breaks)) if sum(breaks[: n + 1]) < len(archive)]
        assert begun == sent  # not a byte was fetched twice


def test_a_server_that_ignores_ranges(server, source, tmp_path):
    server.ranges, server.breaks = False, [1000, 2000]
    assert same_files(download(source, tmp_path, wait=0))
    assert len(gets(server)) == 3


def test_a_file_that_changes_in_the_middle_comes_anew(server, source, tmp_path):
    half = replace(source, sha256="")
    server.breaks = [5000]

    def change(so_far, total):
        if so_far == 5000:
            server.version = '"two"'
            server.files["/tiny.tar"] = tar_of(TINY, "renamed/")

    assert same_files(download(half, tmp_path, on_bytes=change, wait=0))


def test_a_weak_tag_is_not_trusted_to_join_halves(server, source, tmp_path):
    server.version, server.breaks = 'W/"one"', [5000]
    assert same_files(download(source, tmp_path, wait=0))
    assert gets(server) == [None, None]


def test_a_stopped_download_goes_on_later(server, source, tmp_path):
    class Cancelled(Exception):
        pass

    def stop(so_far, total):
        raise Cancelled

    server.breaks = [70_000]
    with pytest.raises(Cancelled):
        download(source, tmp_path, on_bytes=stop)
    assert not (tmp_path / "tiny").exists()
    assert same_files(download(source, tmp_path))
    assert gets(server)[-1] == "bytes=70000-"


def test_a_right_checksum_passes_and_a_wrong_one_leaves_nothing(server, source, tmp_path):
    right = hashlib.sha256(server.files["/tiny.tar"]).hexdigest()
    with pytest.raises(IVGError, match=f"checksum {right} in place of 0000"):
        download(replace(source, sha256="0" * 64), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert same_files(download(replace(source, sha256=right), tmp_path))


def test_busy_servers_are_asked_again_and_dead_ones_given_up(server, source, tmp_path):
    server.errors = [503, 500, 429]
    assert same_files(download(source, tmp_path, wait=0))
    server.errors = [503] * 5
    with pytest.raises(IVGError, match="start the download again"):
        download(replace(source, name="other"), tmp_path, wait=0)


@pytest.mark.parametrize(
    ("trouble", "hint"),
    [
        ({"kind": "text/html; charset=utf-8"}, "web page in place"),
        ({"errors": [404]}, "HTTP 404"),
        ({"lie": 10**18}, "GB are needed"),
        ({"files": {}}, "HTTP 404"),
        ({"files": {"/tiny.tar": b"no archive at all"}}, "no whole tar or zip"),
        ({"files": {"/tiny.tar": b""}}, "no whole tar or zip"),
    ],
)
def test_troubles_are_named_and_say_what_to_do(server, source, tmp_path, trouble, hint):
    for name, value in trouble.items():
        setattr(server, name, value)
    with pytest.raises(IVGError, match=hint):
        download(source, tmp_path, wait=0)
    assert not (tmp_path / "tiny").exists()
    assert not list(tmp_path.rglob("*.archive"))


def test_nobody_answers(source, tmp_path):
    with pytest.raises(IVGError, match=r"example\.org"):
        download(replace(source, url="http://127.0.0.1:9/tiny.tar"), tmp_path)


@pytest.mark.parametrize("trouble", [{"no_head": True}, {"says_length": False}])
def test_a_server_that_does_not_say_the_size(server, source, tmp_path, trouble):
    for name, value in trouble.items():
        setattr(server, name, value)
    assert same_files(download(source, tmp_path))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_torn_archive_without_a_length_is_found_out(server, source, tmp_path, share):
    server.says_length, server.breaks = False, [int(share * len(server.files["/tiny.tar"]))]
    with pytest.raises(IVGError, match="download it again"):
        download(source, tmp_path)
    assert same_files(download(source, tmp_path))  # and the bad one does not stand in the way


def test_a_checkpoint_that_lacks_a_part(server, source, tmp_path):
    shutil.copytree(TINY, tmp_path / "poor", ignore=shutil.ignore_patterns("vae"))
    server.files["/tiny.tar"] = tar_of(tmp_path / "poor")
    with pytest.raises(IVGError, match="lacks vae"):
        download(source, tmp_path / "models")


def test_a_zip_is_as_good(server, source, tmp_path):
    server.files["/tiny.tar"] = zip_of(TINY)
    assert same_files(download(source, tmp_path))


OUTSIDE = ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "C:\\outside.txt", "..\\outside.txt", "."]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_cannot_write_outside(tmp_path, name, kind):
    path = tmp_path / "a.archive"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr(name, "x")
    else:
        with tarfile.open(path, "w") as packed:
            packed.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(IVGError, match="outside its own folder"):
        unpack(path, tmp_path / "deep" / "er")
    assert not list(tmp_path.rglob("outside*"))


def test_links_in_archives_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        link = tarfile.TarInfo("unet")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        packed.addfile(link)
    with pytest.raises(IVGError, match="no plain file"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


LIMITED = """
import resource, sys
from ivg_core.checkpoints.download import download
from ivg_core.checkpoints.sources import Source
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
download(Source("tiny", "", "", "", url=sys.argv[1]), sys.argv[2], wait=0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes to run into")
def test_a_full_disk_keeps_what_has_come(server, source, tmp_path):
    """The system refuses to let the file grow beyond 50 000 bytes, as a full disk does."""
    command = [sys.executable, "-c", LIMITED, source.url, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert os.strerror(errno.EFBIG) in done.stderr and "free some space" in done.stderr
    partial = tmp_path / ".download" / "tiny" / "files" / "tiny.archive.part"
    assert partial.read_bytes() == server.files["/tiny.tar"][: partial.stat().st_size]
    assert same_files(download(source, tmp_path))
    assert gets(server)[-1] == "bytes=50000-"


COMMIT = "c0ffee" + "0" * 34


def serve_hub(server, extra=(), commit=COMMIT, changed=None):
    """The tiny checkpoint as the hub would list and serve it: small files with git's checksum, large ones by LFS."""
    listed = []
    for path in [*TINY.rglob("*"), *extra]:
        if path.is_file():
            name = path.relative_to(TINY if path.is_relative_to(TINY) else extra[0].parents[1]).as_posix()
            content = (changed or {}).get(name) or path.read_bytes()
            server.files[f"/maker/tiny/resolve/{commit}/{name}"] = content
            file = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
            if len(content) > 1000:
                file["lfs"] = {"sha256": sha256_of(path), "size": len(content), "pointerSize": 130}
            else:
                file["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            listed.append(file)
    said = {"id": "maker/tiny", "sha": commit, "siblings": listed, "tags": [], "downloads": 0, "private": False}
    server.files["/api/models/maker/tiny/revision/main"] = json.dumps(said).encode()
    return Source("tiny", "", "", "http://example.org", repo="maker/tiny", hub=server.address)


def test_a_repository_of_the_hub(server, tmp_path):
    double = tmp_path / "extra" / "vae" / "diffusion_pytorch_model.bin"
    double.parent.mkdir(parents=True)
    double.write_bytes(b"the same in another form")
    (double.parent / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"and another")
    source = serve_hub(server, [double, double.parent / "diffusion_pytorch_model.fp16.safetensors"])
    server.breaks = [10**9, 10, 20, 0, 30]  # the first one is the list
    folder = download(source, tmp_path / "models", wait=0)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != RECORD:
            assert path.read_bytes() == (TINY / path.relative_to(folder)).read_bytes()
    assert not list(folder.rglob("*.fp16.*"))
    assert list(folder.glob("vae/*.bin")) == [] and list(folder.glob("vae/*.safetensors"))
    record = json.loads((folder / RECORD).read_text())
    assert record["revision"] == COMMIT
    assert all(f"/resolve/{COMMIT}/" in file["url"] for file in record["files"].values())


@pytest.mark.parametrize("name", ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"])
def test_a_damaged_file_of_the_hub_is_found(server, tmp_path, name):
    source, address = serve_hub(server), f"/maker/tiny/resolve/{COMMIT}/{name}"
    content = bytearray(server.files[address])
    content[len(content) // 2] ^= 1
    server.files[address] = bytes(content)
    with pytest.raises(IVGError, match="checksum"):
        download(source, tmp_path)
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize("name", ["unet/../../../outside", "unet/..\\..\\outside", "unet/../.."])
def test_a_repository_cannot_write_outside(server, tmp_path, name):
    source = serve_hub(server)
    listing = "/api/models/maker/tiny/revision/main"
    said = json.loads(server.files[listing])
    said["siblings"].append({"rfilename": name, "size": 1, "blobId": "0" * 40})
    server.files[listing] = json.dumps(said).encode()
    server.files[f"/maker/tiny/resolve/{COMMIT}/{name}"] = b"x"
    with pytest.raises(IVGError, match="outside its own folder"):
        download(source, tmp_path / "deep" / "models", wait=0)
    assert not list(tmp_path.rglob("outside*")) and not any("resolve" in path for _, path, _ in server.asked)


def test_a_repository_that_moves_on_between_two_attempts_is_not_mixed(server, tmp_path):
    """What lies there of the older commit is fetched again where it differs, and only there."""
    name = "unet/config.json"
    source = serve_hub(server, changed={name: b"no json"})
    with pytest.raises(IVGError, match="config"):  # such a checkpoint cannot be read; all its files have come
        download(source, tmp_path)
    serve_hub(server, commit="d" * 40)
    server.asked.clear()
    folder = download(source, tmp_path)
    assert (folder / name).read_bytes() == (TINY / name).read_bytes()
    assert [path for _, path, _ in server.asked if "resolve" in path] == [f"/maker/tiny/resolve/{'d' * 40}/{name}"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "404"),
        (b"<html>sign in</html>", "answers oddly"),
        (b'{"id": "maker/tiny", "sha": "0", "siblings": []}', "it lists no unet/"),
    ],
)
def test_an_odd_hub_is_one_sentence(server, tmp_path, answer, said):
    source = serve_hub(server)
    del server.files["/api/models/maker/tiny/revision/main"]
    if answer:
        server.files["/api/models/maker/tiny/revision/main"] = answer
    with pytest.raises(IVGError, match=said) as caught:
        download(source, tmp_path)
    assert "\n" not in str(caught.value) and "example.org" in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_only_the_web_is_fetched_from(tmp_path, url):
    with pytest.raises(IVGError, match="unknown url type"):
        download(Source("tiny", "", "", "http://example.org", url=url), tmp_path)


def test_the_command_asks_first(server, source, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sources.SOURCES, "tiny", source)
    words = ["download", "tiny", "--models", str(tmp_path / "m")]
    for answer in ("n\n", ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        assert main(words) == 2
        said = capsys.readouterr()
        assert "MIT" in said.out and "0.00 GB" in said.out and "publish no checksum" in said.out
        assert "Nothing was fetched" in said.err
    assert not gets(server) and not (tmp_path / "m").exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(words) == 0 and same_files(tmp_path / "m" / "tiny")
    assert "init-model" not in capsys.readouterr().out


def test_a_text_to_video_model_comes_with_what_it_is_good_for(server, source, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sources.SOURCES, "tiny", replace(source, takes_photo=False))
    assert main(["download", "tiny", "--models", str(tmp_path / "m"), "--yes"]) == 0
    said = capsys.readouterr().out
    assert all(f"{command} {tmp_path / 'm' / 'tiny'}" in said for command in ("generate --model", "init-model"))


def test_the_list_needs_no_network(capsys):
    assert main(["download"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in sources.SOURCES) and said.count("licence") == len(sources.SOURCES)
    assert main(["download", "nonsense"]) == 2
    assert "IVG.1.0" in capsys.readouterr().err
