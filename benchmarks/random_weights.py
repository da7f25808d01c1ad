"""Random weights that every process makes alike, for networks too large to be kept in a file or in memory twice."""

import torch


def fill(network: torch.nn.Module, pool_size: int = 2**26, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Gives a network on the meta device its weights: norms do nothing, biases are 0, the rest is noise.

    Weights are windows of one pool, which is larger than any cache and far smaller than the network. Equal names and
    shapes get equal numbers.
    """
    pool = (torch.randn(pool_size, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    weights = {}
    for name, tensor in network.state_dict().items():
        size = tensor.numel()
        if tensor.ndim == 1:
            norm = "norm" in name or name.split(".")[-2] == "0"  # the temporal convolutions' norms have numbers only
            weights[name] = torch.full(tensor.shape, float(norm and name.endswith("weight")), dtype=dtype)
        else:
            start = sum(map(ord, name)) * 997 % (pool_size - size)
            weights[name] = pool[start : start + size].view(tensor.shape)
    network.load_state_dict(weights, assign=True)
    return network.eval()
