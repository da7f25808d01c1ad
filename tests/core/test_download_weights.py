"""Networks of the metrics, fetched by name: one file or a folder, whole, checked, and where `evaluate` looks."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from metric_networks import write_clip
from test_download import COMMIT, TINY, gets, serving

from ivg_core.checkpoints.download import RECORD, download, download_weights, sha256_of
from ivg_core.checkpoints.sources import Source
from ivg_core.cli import main
from ivg_core.commands import download as command
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.weights import CLIP, INCEPTION, NETWORKS

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def server():
    with serving() as it:
        yield it


@pytest.fixture
def one_file(server):
    server.files["/net.pt"] = CONTENT
    return Source("net.pt", "a network", "MIT", "http://example.org", url=f"{server.address}/net.pt", file="net.pt")


def test_one_file_comes_as_it_is_and_its_checksum_is_kept_beside_it(server, one_file, tmp_path):
    server.breaks = [1000, 3000]
    path = download_weights(one_file, tmp_path / "w", wait=0)
    assert path == tmp_path / "w" / "net.pt" and path.read_bytes() == CONTENT
    assert gets(server) == [None, "bytes=1000-", "bytes=4000-"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["net.pt", f"net.pt.{RECORD}"]
    record = json.loads((path.parent / f"net.pt.{RECORD}").read_text())
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert record["files"]["net.pt"] == {"url": one_file.url, "sha256": digest, "published_sha256": None}


def test_a_file_needs_its_room_once_and_an_archive_twice(server, one_file, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=len(CONTENT)))
    assert download_weights(one_file, tmp_path).is_file()
    with pytest.raises(IVGError, match="free and"):
        download(replace(one_file, name="tar", file=""), tmp_path)


def test_what_is_there_stays(server, one_file, tmp_path, caplog):
    (tmp_path / "net.pt").write_bytes(b"mine")
    assert download_weights(one_file, tmp_path).read_bytes() == b"mine" and "is there already" in caplog.text
    assert not server.asked


def test_a_known_checksum_is_checked(server, one_file, tmp_path):
    right = replace(one_file, sha256=hashlib.sha256(CONTENT).hexdigest())
    download_weights(right, tmp_path / "right")
    with pytest.raises(IVGError, match="damaged or exchanged"):
        download_weights(replace(one_file, sha256="0" * 64), tmp_path / "wrong")
    assert not [path for path in (tmp_path / "wrong").rglob("*") if path.is_file()]


def test_a_file_that_is_another_one_later_is_told_of(server, one_file, tmp_path, caplog):
    download_weights(one_file, tmp_path).unlink()
    download_weights(one_file, tmp_path).unlink()
    assert "SHA-256" not in caplog.text
    server.files["/net.pt"] = CONTENT[::-1]
    download_weights(one_file, tmp_path)
    was, now = (hashlib.sha256(content).hexdigest() for content in (CONTENT, CONTENT[::-1]))
    assert f"net.pt has the SHA-256 {now}, and had {was} on 20" in caplog.text


@pytest.mark.parametrize(("trouble", "hint"), [("gone", "HTTP 404"), ("page", "sends a web page")])
def test_where_it_cannot_be_had_it_says_what_to_do_by_hand(server, one_file, tmp_path, trouble, hint):
    if trouble == "gone":
        server.files.clear()
    else:
        server.kind = "text/html"
    with pytest.raises(IVGError, match=hint) as raised:
        download_weights(one_file, tmp_path)
    assert "open http://example.org, download it there, and put it into the folder as net.pt" in str(raised.value)


def serve(server, folder, repo: str, more: dict[str, bytes]) -> None:
    """A model of transformers as the hub lists it, with other forms of it beside."""
    listed = []
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | more
    for name, content in files.items():
        server.files[f"/{repo}/resolve/{COMMIT}/{name}"] = content
        lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        listed.append({"rfilename": name, "size": len(content), "blobId": "0" * 40, "lfs": lfs})
    said = {"id": repo, "sha": COMMIT, "siblings": listed, "tags": [], "downloads": 0, "private": False}
    server.files[f"/api/models/{repo}/revision/main"] = json.dumps(said).encode()


def test_a_folder_of_the_hub_comes_for_evaluate_to_find(server, tmp_path, monkeypatch, capsys):
    made = write_clip(tmp_path / "made", TINY / "tokenizer")
    more = {"pytorch_model.bin": b"the same", "tf_model.h5": b"another form", "README.md": b"words"}
    serve(server, made, CLIP.repo, more)
    source = replace(command.metric_sources()["clip"], hub=server.address)
    monkeypatch.setattr(command, "metric_sources", lambda: {"clip": source})
    words = ["download", "--metrics", "clip", "--weights", str(tmp_path / "w"), "--yes"]
    assert main(words) == 0 and f"ready: {tmp_path / 'w' / 'clip'}" in capsys.readouterr().out
    found = CLIP.find(tmp_path / "w")
    assert {path.name for path in found.iterdir()} == {path.name for path in made.iterdir()} | {RECORD}
    for path in made.iterdir():
        assert sha256_of(path) == sha256_of(found / path.name)
    record = json.loads((found / RECORD).read_text())
    assert record["revision"] == COMMIT and all(file["published_sha256"] for file in record["files"].values())
    assert not (tmp_path / "w" / ".download").exists()


def test_a_repository_that_is_none_is_one_sentence(server, tmp_path):
    (tmp_path / "made").mkdir()
    serve(server, tmp_path / "made", CLIP.repo, {"README.md": b"words"})
    source = replace(command.metric_sources()["clip"], hub=server.address)
    with pytest.raises(IVGError, match=re.escape("it lists no config.json")) as raised:
        download_weights(source, tmp_path / "w")
    assert "download its files into a folder clip" in str(raised.value)


def test_the_list_names_every_network_with_licence_and_check(capsys):
    assert main(["download", "--metrics"]) == 0
    said = capsys.readouterr().out
    for name, network in NETWORKS.items():
        assert f"{name}\n  about     {network.about}" in said and network.licence in said
    assert said.count("the size and checksum of each file that the hub states") == 2
    assert f"by SHA-256 {INCEPTION.sha256}" in said and said.count("is kept beside it") == 2
    assert main(["download", "--metrics", "IVG.1.0"]) == 2
    assert "choose one of inception, i3d, clip, egovlp, blip" in capsys.readouterr().err


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
def test_every_network_can_be_had_and_lies_where_it_is_looked_for(network):
    """A checksum that is stated begins as the file's own name says, where that says anything."""
    assert bool(network.url) != bool(network.repo)
    assert not network.repo or network.files[0] == network.inside
    if network.sha256:
        assert re.fullmatch("[0-9a-f]{64}", network.sha256)
        assert network.places[0].rpartition("-")[2].startswith(network.sha256[:8])
