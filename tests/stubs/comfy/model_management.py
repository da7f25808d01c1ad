import torch


class InterruptProcessingException(Exception):
    """As in ComfyUI 0.3.64; later it derives from BaseException.

    So a node that catches Exception around its work fails a cancel test here.
    """


_interrupted = False
#: Every call of `load_models_gpu`: (patchers, keywords).
loads: list = []


def interrupt_current_processing(value=True):
    global _interrupted
    _interrupted = value


def throw_exception_if_processing_interrupted():
    if _interrupted:
        interrupt_current_processing(False)
        raise InterruptProcessingException()


def get_torch_device():
    return torch.device("cpu")


intermediate_device = unet_offload_device = get_torch_device


def should_use_fp16(device=None):
    return False


should_use_bf16 = should_use_fp16


def load_models_gpu(models, memory_required=0, force_patch_weights=False, force_full_load=False):
    loads.append((list(models), {"memory_required": memory_required, "force_full_load": force_full_load}))
    for patcher in models:
        patcher.load()


def soft_empty_cache(force=False):
    """Gives back what the GPU's allocator keeps; there is no GPU here."""
