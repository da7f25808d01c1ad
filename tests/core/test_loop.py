"""The training loop: what is stopped goes on as if it had not been."""

import pytest
import torch
from torch import nn

from recipes.embedded.fit import fit


def build() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"net": nn.Linear(4, 4)})


def loss_of(modules, rng):
    x = torch.randn(8, 4, generator=rng)
    loss = (modules["net"](x) - x.flip(1)).pow(2).mean()
    return loss, {}


def run(folder, steps, loss=loss_of):
    options = {"folder": folder, "steps": steps, "learning_rate": 1e-2, "warmup": 5, "save_every": 10}
    return fit("net", build(), loss, log=lambda line: None, **options)


def test_it_learns(tmp_path):
    before = loss_of(build(), torch.Generator().manual_seed(9))[0]
    after = loss_of(run(tmp_path, 300), torch.Generator().manual_seed(9))[0]
    assert after < 0.3 * before


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    whole = run(tmp_path / "whole", 40)

    calls = 0

    def stopped(modules, rng):
        nonlocal calls
        calls += 1
        if calls == 27:
            raise KeyboardInterrupt
        return loss_of(modules, rng)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", 40, stopped)
    resumed = run(tmp_path / "broken", 40)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_no_part_of_a_checkpoint_is_left(tmp_path):
    run(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]
