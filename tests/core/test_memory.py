"""Out of memory: one more try in smaller pieces; and the count of what a run takes."""

import logging
import subprocess
import sys

import pytest
import torch
from sampled import sample

from ivg_core.checkpoints.info import LiveBytes, inspect_checkpoint, plan_memory
from ivg_core.checkpoints.layout import read_layout
from ivg_core.checkpoints.load import empty_component
from ivg_core.models.codec import ImageCodec, frames_at_once
from ivg_core.sampling.decode import decode_frames
from ivg_core.sampling.frugal import OutOfMemory

PHOTO = torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(1))


def run(model, **options):
    # smaller, and the deepest level is a single cell, whose normalisation is nothing but rounding
    little = {"num_frames": 2, "num_inference_steps": 2, "size": (128, 128), "guidance_scale": 3.0, "seed": 3}
    return sample(model, PHOTO, "the person cuts the carrot", **(little | options))


class Full:
    """A memory that is full for the first `times` passes that `too_much` holds for."""

    def __init__(self, module, times=1, too_much=lambda x: True, error=torch.OutOfMemoryError):
        self.times, self.too_much, self.error = times, too_much, error
        self.hook = module.register_forward_pre_hook(self._fill)

    def _fill(self, module, args):
        if self.times and self.too_much(args[0]):
            self.times -= 1
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hook.remove()


def chunk_sizes(unet):
    return {getattr(module, "_chunk_size", None) for module in unet.modules()}


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize("cache_every", [1, 2])
def test_denoising_goes_on_in_smaller_pieces(tiny_model, caplog, error, cache_every):
    exact = run(tiny_model)
    with caplog.at_level(logging.WARNING, "ivg"), Full(tiny_model.unet.conv_out, error=error):
        out = run(tiny_model, cache_every=cache_every)
    assert caplog.text.count("Out of memory while denoising") == 1
    if cache_every == 1:
        assert torch.allclose(out.frames, exact.frames, atol=1e-3)
    assert chunk_sizes(tiny_model.unet) == {None}
    assert torch.equal(run(tiny_model).frames, exact.frames)


def test_a_second_lack_of_memory_ends_the_run_and_leaves_the_model_whole(tiny_model):
    exact = run(tiny_model)
    with Full(tiny_model.unet.conv_out, times=99), pytest.raises(OutOfMemory, match="smaller or shorter") as caught:
        run(tiny_model)
    assert isinstance(caught.value, torch.OutOfMemoryError)  # ComfyUI frees its models upon these
    assert chunk_sizes(tiny_model.unet) == {None}
    assert torch.equal(run(tiny_model).frames, exact.frames)


def test_another_error_is_not_taken_for_it(tiny_model):
    def break_it(*_):
        raise RuntimeError("the device is gone")

    hook = tiny_model.unet.conv_out.register_forward_pre_hook(break_it)
    try:
        with pytest.raises(RuntimeError, match="the device is gone"):
            run(tiny_model)
    finally:
        hook.remove()


def test_decoding_goes_on_frame_by_frame(tiny_model, caplog):
    latents = torch.randn(1, 4, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = decode_frames(ImageCodec(tiny_model.vae), latents)
        with Full(tiny_model.vae.decoder, 9, lambda x: len(x) > 1), caplog.at_level(logging.WARNING, "ivg"):
            frames = decode_frames(ImageCodec(tiny_model.vae), latents)
        assert caplog.text.count("one frame at a time") == 1
        with Full(tiny_model.vae.decoder, 99), pytest.raises(OutOfMemory, match="even one frame"):
            decode_frames(ImageCodec(tiny_model.vae), latents)
    assert torch.allclose(frames, expected, atol=1e-5)


def test_large_frames_are_decoded_one_at_a_time():
    assert [frames_at_once(*size) for size in ((16, 24), (32, 56), (64, 64), (128, 128))] == [8, 2, 1, 1]


LIMITED = """
import logging, resource, sys
import torch
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.info import LiveBytes
from ivg_core.models.codec import ImageCodec
from ivg_core.sampling.decode import decode_frames
logging.basicConfig()
model = load_model(sys.argv[1])
latents = torch.randn(1, 4, 8, 96, 96)
with torch.no_grad():
    with LiveBytes() as one:
        decode_frames(ImageCodec(model.vae), latents[:, :, :1], 1)
    limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 4 * one.peak
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(decode_frames(ImageCodec(model.vae), latents, 8).shape)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space can be limited on Linux")
def test_a_memory_that_is_really_too_small(golden):
    """The process is given less than eight frames take and more than one does."""
    command = [sys.executable, "-c", LIMITED, str(golden / "tiny_ckpt")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "one frame at a time" in ended.stderr and "[1, 8, 768, 768, 3]" in ended.stdout


def test_the_plan_counts_what_a_real_pass_takes(golden, tiny_model):
    layout = read_layout(golden / "tiny_ckpt")
    plan = plan_memory(
        empty_component(layout, "unet"), empty_component(layout, "vae"), 1000, width=64, height=48, num_frames=3,
        dtype=torch.float32,
    )  # fmt: skip
    unet = tiny_model.unet
    text = torch.zeros(2, 77, unet.config["cross_attention_dim"])
    told = {"condition_latent": torch.zeros(2, 4, 1, 6, 8), "mask": torch.ones(2, 1, 1, 6, 8), "motion": torch.ones(2)}
    with torch.no_grad(), LiveBytes() as live:
        unet(torch.zeros(2, 4, 3, 6, 8), torch.tensor(500), text, **told)
    assert live.now == 0 and plan.denoise == pytest.approx(live.peak, rel=0.02)
    assert plan.weights == 4000 and plan.peak == plan.weights + max(plan.denoise, plan.decode)


def test_info_counts_the_size_that_is_asked_for(golden):
    small, large = (inspect_checkpoint(golden / "tiny_ckpt", (side, side), 2) for side in (64, 128))
    assert small.memory["float16"].weights == large.memory["float16"].weights
    assert 3.5 < large.memory["float16"].decode / small.memory["float16"].decode < 4.5
    assert "128x128, 2 frames" in str(large)
