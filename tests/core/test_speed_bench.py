"""The clock of the speed benchmark: turns, medians, and work that is counted and not done."""

import pytest
import torch
from test_unet import SMALL, small_unet

from benchmarks.clock import alternate, matmul_ceiling, seconds
from benchmarks.counted import count_work

CPU = torch.device("cpu")


def test_peers_take_turns_and_the_median_of_the_counted_rounds_is_taken():
    order, clocks = [], {"a": iter([99, 1, 5, 2]), "b": iter([99, 7, 8, 30])}

    def run(name):
        order.append(name)
        return float(next(clocks[name]))

    assert alternate({name: lambda name=name: run(name) for name in "ab"}, rounds=3) == {"a": 2.0, "b": 8.0}
    assert "".join(order) == "abbaabba"


def test_on_a_cpu_the_work_of_all_threads_counts_and_waiting_does_not(monkeypatch):
    spent = iter([10.0, 13.5])
    monkeypatch.setattr("time.process_time", lambda: next(spent))
    monkeypatch.setattr("time.perf_counter", None)  # would count waiting
    assert seconds(lambda: None, CPU) == 3.5


def test_the_ceiling_is_measured():
    assert matmul_ceiling(CPU, torch.float32, side=64, rounds=1) > 0


def test_work_is_counted_without_doing_it():
    from torch.utils.flop_counter import FlopCounterMode

    flops, traffic = count_work(SMALL | {"cross_attention_dim": 16}, 2, 3, 8, 6)
    unet = small_unet()
    with torch.no_grad(), FlopCounterMode(display=False) as done:
        unet(
            torch.randn(2, 4, 3, 8, 6), 5, torch.randn(2, 77, 16), torch.randn(2, 4, 1, 8, 6), torch.ones(1, 1, 1, 8, 6)
        )
    assert flops == pytest.approx(done.get_total_flops(), rel=0.1)  # the CPU's fused attention is not counted
    assert (
        traffic > sum(parameter.nbytes for name, parameter in unet.named_parameters() if "motion_emb" not in name) / 2
    )
    double, _ = count_work(SMALL, 4, 3, 8, 6)
    assert double == pytest.approx(2 * flops, rel=0.01)
