"""Processes that share work by their numbers: each thing is done by one of them, however they are numbered."""

from itertools import chain

import pytest

from ivg_core.cli import main
from ivg_core.cluster.shard import WHOLE, Shard, read_shard, this_process
from ivg_core.errors import IVGError


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def launch(monkeypatch, rank, world, local=0):
    for name, value in (("RANK", rank), ("WORLD_SIZE", world), ("LOCAL_RANK", local)):
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("first", [0, 1])
def test_an_array_may_begin_at_0_or_1(first):
    shares = [read_shard(f"{number}/4").of(range(10)) for number in range(first, first + 4)]
    assert sorted(chain(*shares)) == list(range(10))
    assert sorted(map(len, shares)) == [2, 2, 3, 3]


def test_one_share_of_one_is_everything():
    assert read_shard("1/1") == read_shard("0/1") == WHOLE and WHOLE.of("abc") == list("abc")


@pytest.mark.parametrize("text", ["5/4", "0/0", "1", "1/", "-1/4", "1/4/2", "one/4", "", "1/4 ", "/"])
def test_no_share_is_one_sentence(text, tmp_path, capsys):
    with pytest.raises(IVGError, match="is no share: number the shares of four 0/4 to 3/4, or 1/4 to 4/4"):
        read_shard(text)
    assert main(["batch", "--table", str(tmp_path), "--out", str(tmp_path / "out"), f"--shard={text}"]) == 2
    assert "--shard: " in capsys.readouterr().err


@pytest.mark.parametrize(("number", "count"), [(0, 1), (1, 3)])
def test_the_launchers_variables_are_read(monkeypatch, number, count):
    launch(monkeypatch, number, count, local=1)
    assert this_process("cuda") == (Shard(number, count), "cuda:1" if count > 1 else "cuda")
    assert this_process("cpu")[1] == "cpu"


@pytest.mark.parametrize("rank", ["3", "x"])
def test_odd_process_numbers_are_refused(monkeypatch, rank):
    launch(monkeypatch, rank, 3)
    with pytest.raises(IVGError, match="RANK and WORLD_SIZE"):
        this_process()


def test_what_is_asked_and_what_the_launcher_says_must_agree(monkeypatch):
    assert this_process("cuda", Shard(2, 3)) == (Shard(2, 3), "cuda")  # an array's task sees its own GPU only
    launch(monkeypatch, 0, 1)
    assert this_process("cpu", Shard(2, 3))[0] == Shard(2, 3)  # a launcher of one process says nothing
    launch(monkeypatch, 2, 3)
    assert this_process("cpu", Shard(2, 3))[0] == Shard(2, 3)
    with pytest.raises(IVGError, match=r"the share 1/3, and its launcher says 2/3"):
        this_process("cpu", Shard(1, 3))
