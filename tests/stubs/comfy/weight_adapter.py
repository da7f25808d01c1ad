class LoRAAdapter:
    """A low-rank patch; `weights` is (up, down, alpha, mid, dora_scale, reshape)."""

    def __init__(self, loaded_keys, weights):
        self.loaded_keys, self.weights = loaded_keys, weights

    def calculate_weight(self, weight, strength):
        up, down, alpha, *_ = self.weights
        change = (up.float().flatten(1) @ down.float().flatten(1)).reshape(weight.shape)
        return weight + (strength * alpha / down.shape[0] * change).to(weight.dtype)
