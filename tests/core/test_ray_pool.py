"""The pool over Ray, on real local clusters of nodes with one CPU: whoever dies or comes, each task ends once."""

import logging
import os
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import pytest
import torch

from ivg_core.cluster import pool
from ivg_core.cluster.pool import run_on_ray
from ivg_core.errors import IVGError

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def outcomes(cluster, load, tasks, **more) -> dict:
    ended = []
    run_on_ray(tasks, load, on_done=lambda *what: ended.append(what), address=cluster.address, **more)
    assert Counter(task for task, _ in ended) == Counter(tasks)
    return dict(ended)


def test_each_task_ends_once_whatever_it_does(cluster, tmp_path, caplog):
    from ray_tasks import load_by_name

    started = []
    tasks = ["dies", "dies once", "fails", "dies after", "sleeps 0", "sleeps 0.1", "warns"]
    load, done = partial(load_by_name, tmp_path), lambda task: (tmp_path / task).exists() and "after" in task
    with caplog.at_level(logging.WARNING, "ivg"):
        ended = outcomes(cluster, load, tasks, finished=done, on_start=lambda *what: started.append(what))
    assert "3 workers died at it" in ended["dies"].error
    assert ended["dies once"].result["name"] == "dies once" and not ended["dies once"].error
    assert ended["fails"].error == "ValueError: a bad photo" and ended["fails"].result is None
    assert (ended["dies after"].result, ended["dies after"].error) == (None, "")  # done, says `finished`
    assert ended["sleeps 0"].result["threads"] == 1 and ended["sleeps 0"].result["folder"] == os.getcwd()
    assert ended["sleeps 0.1"].seconds > 0.09 and not ended["sleeps 0.1"].said
    assert ended["warns"].said == ["The photo is dark."] and caplog.text.count("The weights are old.") == 1
    assert [task for task, _, _ in started] == [*tasks, "dies", "dies once", "dies"]
    assert {(machine, workers) for _, machine, workers in started} == {(ended["fails"].machine, 1)}
    assert len((tmp_path / "loaded").read_text().splitlines()) == 5  # the first, and one after each death but the last
    assert caplog.text.count("begun again by another") == 3


def test_machines_go_and_come(cluster, tmp_path):
    from ray_tasks import load_by_name

    first = [cluster.add_node(**NODE) for _ in range(2)]
    later, begun = [], Counter()

    def on_start(task, machine, workers):
        begun[task] += 1
        if workers == 3 and first:
            cluster.remove_node(first.pop(), allow_graceful=False)
        if len(begun) == 8 and not later:
            later.append(cluster.add_node(**NODE))

    tasks = [f"sleeps 0.6 {n}" for n in range(20)]
    ended = outcomes(cluster, partial(load_by_name, tmp_path), tasks, on_start=on_start)
    assert all(outcome.result for outcome in ended.values())
    places = Counter(outcome.result["node"] for outcome in ended.values())
    assert places[later[0].node_id] and max(begun.values()) <= 3
    for node in [*first, *later]:
        cluster.remove_node(node)


def test_a_machine_that_cannot_load_is_left_out(cluster, tmp_path, caplog):
    from ray_tasks import load_by_name

    bad = cluster.add_node(**NODE)
    with caplog.at_level(logging.WARNING, "ivg"):
        ended = outcomes(cluster, partial(load_by_name, tmp_path, bad.node_id), ["sleeps 2", "sleeps 2 too"])
    assert bad.node_id not in {outcome.result["node"] for outcome in ended.values()}
    assert "left out" in caplog.text and "no weights here" in caplog.text
    cluster.remove_node(bad)


def test_nobody_who_can_do_it_is_one_sentence(cluster, tmp_path, monkeypatch):
    from ray_tasks import load_and_die, load_by_name

    nobody = tmp_path / "nobody"
    cases = [
        (partial(load_by_name, nobody), "No machine can do this: .+FileNotFoundError"),
        (load_and_die, "3 workers died there while they loaded"),
    ]
    for load, says in cases:
        with pytest.raises(IVGError, match=says):
            outcomes(cluster, load, ["sleeps 0"])
    load = partial(load_by_name, tmp_path)
    with pytest.raises(IVGError, match="No machine of the cluster has a GPU"):
        outcomes(cluster, load, ["sleeps 0"], device="cuda")
    with pytest.raises(IVGError, match="cannot give out the device 'mps'"):
        outcomes(cluster, load, ["sleeps 0"], device="mps")
    monkeypatch.setattr(pool, "__version__", "0.0.1")
    with pytest.raises(IVGError, match=r"comfy-ivg is 0\.1\.0 there and 0\.0\.1 here"):
        outcomes(cluster, load, ["sleeps 0"])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    with pytest.raises(IVGError, match="No machine of the cluster has 3 CPUs, one for each torch thread"):
        outcomes(cluster, load, ["sleeps 0"])


def test_ctrl_c_leaves_nobody_at_work(cluster, tmp_path):
    import ray
    from ray_tasks import load_by_name

    def stop(task, outcome):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_ray(["sleeps 0", "sleeps 60"], partial(load_by_name, tmp_path), on_done=stop, address=cluster.address)
    assert not ray.is_initialized()
    (pid,) = map(int, (tmp_path / "loaded").read_text().split())
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}"):
            return
        time.sleep(0.1)
    raise AssertionError("the worker goes on")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "There is no Ray cluster at 127.0.0.1:1"),
        ("nowhere.invalid:6379", "There is no Ray cluster at nowhere.invalid:6379"),
        ("127.0.0.1:99999", "There is no Ray cluster at 127.0.0.1:99999"),
        ("ray://head:10001", "is no address of a Ray cluster"),
    ],
)
def test_a_wrong_address_is_one_sentence(address, says):
    with pytest.raises(IVGError, match=says):
        run_on_ray(["sleeps 0"], dict, on_done=print, address=address)


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(IVGError, match=r"pip install comfy-ivg\[ray\]"):
        run_on_ray(["sleeps 0"], dict, on_done=print)


def test_no_tasks_need_no_cluster():
    run_on_ray([], dict, on_done=print, address="127.0.0.1:1")


def test_ray_is_loaded_only_where_it_is_asked_for():
    code = "import sys, ivg_core.cluster.pool, ivg_core.cli as cli; cli.build_parser(); print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
