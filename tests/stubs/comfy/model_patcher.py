import torch


class ModelPatcher:
    """Holds a network; writes `.device` on it, as ComfyUI's own does.

    Clones share the network. Loading one puts its patches on the weights, and takes those of another clone off first.
    """

    def __init__(self, model: torch.nn.Module, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        self.model.device = offload_device
        self.patches: dict = {}
        self.backup: dict = {}

    def clone(self):
        copy = type(self)(self.model, self.load_device, self.offload_device)
        copy.patches, copy.backup = {key: list(found) for key, found in self.patches.items()}, self.backup
        return copy

    def add_patches(self, patches, strength_patch=1.0, strength_model=1.0):
        known = patches.keys() & self.model.state_dict().keys()
        for key in known:
            self.patches.setdefault(key, []).append((strength_patch, patches[key]))
        return list(known)

    def load(self) -> None:
        self.model.to(self.load_device)
        self.model.device = self.load_device
        for key, weight in self.backup.items():
            self._put(key, weight)
        self.backup.clear()
        for key, found in self.patches.items():
            self.backup[key] = weight = self.model.state_dict()[key]
            for strength, adapter in found:
                if isinstance(adapter, tuple):  # a plain difference
                    weight = weight + strength * adapter[0]
                else:
                    weight = adapter.calculate_weight(weight, strength)
            self._put(key, weight)

    def _put(self, key, weight) -> None:
        # A new parameter, as in ComfyUI: under inference mode it is one that cannot be trained through.
        module, _, name = key.rpartition(".")
        setattr(self.model.get_submodule(module), name, torch.nn.Parameter(weight, requires_grad=False))
