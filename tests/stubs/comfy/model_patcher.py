import torch

from .lora import calculate_weight


class ModelPatcher:
    """Holds a network; writes `.device` on it, as ComfyUI's own does.

    Clones share the network. Loading one puts its patches on the weights, and takes those of another clone off first.
    """

    def __init__(self, model: torch.nn.Module, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        self.model.device = offload_device
        self.patches: dict = {}
        self.backup: dict = {}
        self.object_patches: dict = {}
        self.object_patches_backup: dict = {}
        self.callbacks: dict = {}

    def clone(self):
        copy = type(self)(self.model, self.load_device, self.offload_device)
        copy.patches, copy.backup = {key: list(found) for key, found in self.patches.items()}, self.backup
        copy.object_patches, copy.object_patches_backup = dict(self.object_patches), self.object_patches_backup
        copy.callbacks = {kind: list(found) for kind, found in self.callbacks.items()}
        return copy

    def model_size(self) -> int:
        return sum(weight.nbytes for weight in self.model.state_dict().values())

    def add_callback(self, call_type, callback) -> None:
        self.callbacks.setdefault(call_type, []).append(callback)

    def add_object_patch(self, name, value) -> None:
        self.object_patches[name] = value

    def get_key_patches(self, filter_prefix):
        """Name -> (the weight without any patches, nothing that converts it), and the patches of this clone."""
        weights = {**self.model.state_dict(), **self.backup}
        return {
            key: [(weight, None), *self.patches.get(key, [])]
            for key, weight in weights.items()
            if key.startswith(filter_prefix)
        }

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
            self._put(key, calculate_weight(found, weight, key))
        for key, value in self.object_patches_backup.items():
            self._swap(key, value)
        self.object_patches_backup.clear()
        self.object_patches_backup.update({key: self._swap(key, value) for key, value in self.object_patches.items()})
        for callback in self.callbacks.get("on_load_after", []):
            callback(self, self.load_device, 0, False, True)

    def _swap(self, key, value):
        module, _, name = key.rpartition(".")
        before = getattr(self.model.get_submodule(module), name)
        setattr(self.model.get_submodule(module), name, value)
        return before

    def _put(self, key, weight) -> None:
        # A new parameter, as in ComfyUI: under inference mode it is one that cannot be trained through.
        module, _, name = key.rpartition(".")
        setattr(self.model.get_submodule(module), name, torch.nn.Parameter(weight, requires_grad=False))


class CoreModelPatcher(ModelPatcher):
    """As ComfyUI 0.33 has it on a GPU: made for networks of its own layers, it moves others without their patches."""

    def load(self) -> None:
        self.model.to(self.load_device)
