import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.frechet import frechet_distance


def by_matrix_square_root(first: torch.Tensor, second: torch.Tensor) -> float:
    """The textbook's formula, with scipy's matrix square root."""
    linalg = pytest.importorskip("scipy.linalg")
    a, b = first.double(), second.double()
    cov_a, cov_b = a.T.cov().numpy(), b.T.cov().numpy()
    root = linalg.sqrtm(cov_a @ cov_b)
    return float((a.mean(0) - b.mean(0)).square().sum()) + float((cov_a + cov_b - 2 * root.real).trace())


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(30, 80), width=st.integers(2, 20), seed=st.integers(0, 1 << 30), shift=st.floats(0, 3))
def test_it_is_the_textbook_formula(rows, width, seed, shift):
    noise = torch.Generator().manual_seed(seed)
    first = torch.randn(rows, width, generator=noise) @ torch.randn(width, width, generator=noise)
    second = torch.randn(rows + 5, width, generator=noise) @ torch.randn(width, width, generator=noise) + shift
    assert frechet_distance(first, second) == pytest.approx(by_matrix_square_root(first, second), rel=1e-6, abs=1e-6)


def test_fewer_rows_than_features():
    """The covariances are singular then, and scipy's root is only about right."""
    noise = torch.Generator().manual_seed(0)
    first, second = torch.randn(12, 40, generator=noise), torch.randn(9, 40, generator=noise) * 2 + 1
    assert frechet_distance(first, second) == pytest.approx(by_matrix_square_root(first, second), rel=1e-4)


def test_two_gaussians_on_a_line():
    """(m - n)² + (s - t)² is what it is in one dimension."""
    first, second = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([[10.0], [14.0], [18.0]])
    assert frechet_distance(first, second) == pytest.approx((3 - 14) ** 2 + (2 - 4) ** 2, rel=1e-12)


def test_a_set_is_no_way_from_itself():
    features = torch.randn(50, 30)
    assert frechet_distance(features, features[torch.randperm(50)]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [(1, 4), (8, 5), (8,)])
def test_what_cannot_be_compared_is_refused(shape):
    with pytest.raises(IVGError, match="at least two rows"):
        frechet_distance(torch.randn(8, 4), torch.randn(*shape))


def test_it_is_torchmetrics_fid():
    fid = pytest.importorskip("torchmetrics.image.fid")

    class Pixels(torch.nn.Module):
        """Stands for Inception: torchmetrics takes any network."""

        num_features = 12

        def forward(self, pictures):
            return pictures.flatten(1)[:, :12]

    metric = fid.FrechetInceptionDistance(feature=Pixels())
    real, fake = torch.rand(64, 3, 4, 4), torch.rand(70, 3, 4, 4) ** 2
    metric.update(real, real=True)
    metric.update(fake, real=False)
    ours = frechet_distance(*(x.flatten(1)[:, :12] for x in (fake, real)))
    assert ours == pytest.approx(float(metric.compute()), rel=1e-4)
