"""IVGOptimizeModel, as ComfyUI runs it: what it gives, and what becomes of the model that it is given."""

import pathlib
import re
from dataclasses import replace
from functools import partial

import folder_paths
import pytest
import torch
from comfy_execution.utils import CurrentNodeContext
from server import PromptServer
from torch._dynamo.utils import counters

from ivg_pack.ivg_core.checkpoints.load import load_model
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.models.compiled import CALL
from ivg_pack.ivg_core.models.float8 import FLOAT8, store_in_float8
from ivg_pack.ivg_core.models.inflated import InflatedUNet
from ivg_pack.ivg_core.models.lora import LoRA, lora_sites, model_with_lora
from ivg_pack.ivg_core.models.one_shot import VideoClips, with_clips
from ivg_pack.ivg_core.models.unet import IVGUNet
from ivg_pack.nodes._model import manage, on_device
from ivg_pack.nodes.long_video import IVGWindows
from ivg_pack.nodes.loras import with_lora
from ivg_pack.nodes.optimize import AS_LOADED, IVGOptimizeModel
from ivg_pack.nodes.rom import PredictRoMMask
from ivg_pack.nodes.sampling import IVGSampler
from ivg_pack.nodes.text_to_video import IVGTextToVideo
from ivg_pack.nodes.training import TrainIVGLoRA

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
PHOTO = torch.rand(1, 32, 48, 3, generator=torch.Generator().manual_seed(0))
WIDGETS = {
    "action": "stir", "negative": "", "seed": 3, "frames": 2, "steps": 2, "guidance": 2.0, "motion_strength": 5.0,
    "fps": 8.0, "width": 48, "height": 32, "keep_first_frame": False, "composite": False, "feather": 2.0,
}  # fmt: skip


@torch.inference_mode()
def optimize_model(managed, weights="float8", compile=False):
    return IVGOptimizeModel.execute(managed, weights, compile)[0]


@torch.inference_mode()
def sample(managed, **changes):
    return IVGSampler.execute(managed, PHOTO, **{**WIDGETS, **changes})[0][0]


@torch.inference_mode()
def predict(managed):
    return PredictRoMMask.execute(managed, PHOTO, "stir", 3, 2, 2.0, 0.5, 0, 0, 2)[0]


def psnr(video, other):
    return -10 * (video - other).square().mean().log10().item()


@pytest.fixture(autouse=True)
def bare(model):
    """The model of all tests is left with nothing on it."""
    yield
    for patcher in model.patchers.values():
        patcher.load()


@pytest.fixture
def lora(model):
    """Strong, on a layer within the blocks and on one outside."""
    rng, layers = torch.Generator().manual_seed(0), {}
    sites = lora_sites(model.model.unet, ["spatial", "conv"])
    for name in (next(name for name in sites if name.endswith("to_q")), "conv_in"):
        weight = sites[name].weight
        up = torch.randn(weight.shape[0], 2, *[1] * (weight.ndim - 2), generator=rng)
        layers[name] = (up, torch.randn(2, *weight.shape[1:], generator=rng))
    return LoRA(layers)


@pytest.fixture
def compiler(monkeypatch):
    """Has torch compile without C++, and one kind of layer only: real traces, without minutes of them."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(IVGUNet, "_repeated_blocks", ["TemporalConvLayer"])
    yield lambda: counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


@pytest.fixture
def shown(monkeypatch):
    """What is shown on nodes, as (node id, text)."""
    server = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", server)
    return server.shown


def weights_of(network):
    return {key: weight.clone() for key, weight in network.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_both_networks_are_kept_in_8_bits_and_the_model_stays_as_it_is(model, shown):
    exact = sample(model)  # which takes off the LoRA that another test may have left at work
    predict(model)
    before = {stage: weights_of(model.model.for_stage(stage)) for stage in (1, 2)}
    with CurrentNodeContext("prompt", "7"):
        made = optimize_model(model)
    assert shown[-1][0] == "7" and re.search(r"weights take [\d.]+ MB, and [\d.]+ MB as they came in", shown[-1][1])
    for name, stage in (("unet", 2), ("rom_unet", 1)):
        network, given = made.model.for_stage(stage), model.model.for_stage(stage)
        narrow = sum(weight.numel() for weight in network.parameters() if weight.dtype == FLOAT8)
        assert narrow > 0.8 * sum(weight.numel() for weight in network.parameters())
        assert made.patchers[name].model_size() < 0.45 * model.patchers[name].model_size()  # of float32
        assert made.patchers[name].model.diffusion_model is network is not given
        assert same(weights_of(given), before[stage])
    assert all(made.patchers[name] is model.patchers[name] for name in ("vae", "text_encoder"))
    rounded = sample(made)
    assert 25 < psnr(rounded, exact) < 60
    assert torch.equal(sample(model), exact) and torch.equal(sample(made), rounded)
    assert predict(made).shape == predict(model).shape
    assert optimize_model(made).model.unet is made.model.unet  # once more changes nothing


def test_a_model_of_one_network(model_without_rom):
    made = optimize_model(model_without_rom)
    assert made.model.rom_unet is None and "rom_unet" not in made.patchers
    with pytest.raises(IVGError, match="no stage-1 weights"):
        predict(made)


def test_as_loaded_and_not_compiled_is_the_model_itself(model):
    assert optimize_model(model, AS_LOADED) is model


def test_loras_before_it_are_merged_whichever_is_at_work(model, lora):
    plain = weights_of(model.model.unet)
    worn = with_lora(model, lora, 0.7)
    expected = model_with_lora(model.model, lora, 0.7).unet
    store_in_float8(expected)
    for at_work in (model, worn):
        on_device(at_work, 2, PHOTO[0], 2)
        assert same(weights_of(optimize_model(worn).model.unet), weights_of(expected))
    on_device(worn, 2, PHOTO[0], 2)
    assert torch.equal(optimize_model(model).model.unet.conv_in.weight, plain["conv_in.weight"])  # it has no LoRA


def test_a_lora_after_it_is_refused(model, lora):
    with pytest.raises(IVGError, match="put the node with the LoRA in front of IVG Optimize Model"):
        with_lora(optimize_model(model), lora, 1.0)


def test_a_compiled_model_shares_the_weights_and_compiles_once(model, lora, compiler, shown):
    exact, worn = sample(model), sample(with_lora(model, lora, 0.7))
    made = optimize_model(model, AS_LOADED, compile=True)
    assert made.model.unet is model.model.unet and compiler() == 1  # of the check
    with CurrentNodeContext("prompt", "8"):
        assert psnr(sample(made), exact) > 60
    pieces = compiler() - 1
    assert pieces > 1 and re.search(rf"Compiled {pieces} pieces of the network in \d+ s", shown[-1][1])
    assert torch.equal(sample(model), exact) and getattr(model.model.unet, CALL) is None  # without its compiled layers
    with CurrentNodeContext("prompt", "8"):
        other = sample(made, seed=4)
    assert compiler() == pieces + 1 and "Compiled" not in shown[-1][1] and psnr(other, sample(model, seed=4)) > 60
    assert psnr(sample(with_lora(made, lora, 0.7)), worn) > 60
    assert getattr(model.model.unet, CALL) is not None


def test_compiled_weights_in_8_bits(model, compiler):
    plain = sample(optimize_model(model))
    both = optimize_model(model, compile=True)
    after = optimize_model(optimize_model(model, AS_LOADED, compile=True))
    assert compiler() == 1
    first = sample(both)
    pieces = compiler()
    assert pieces > 1 and psnr(first, plain) > 60
    assert torch.equal(sample(after), first) and compiler() == pieces  # what is compiled stays so, and is known already


@pytest.mark.parametrize("done", [{"weights": "float8"}, {"weights": AS_LOADED, "compile": True}])
def test_it_cannot_be_trained(model, compiler, done, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "base_path", str(tmp_path))
    clip = torch.rand(4, 32, 48, 3)
    widgets = {
        "prompt": "move", "save_name": "square", "stage": "2: the video", "steps": 1, "rank": 2, "learning_rate": 1e-3,
        "hand_loss": 0.0, "masks": "everything", "folder": "", "frames": 3, "width": 48, "height": 32,
        "training_seed": 0, "resume": True,
    }  # fmt: skip
    with pytest.raises(IVGError, match="A model from IVG Optimize Model cannot be trained"):
        TrainIVGLoRA.execute(optimize_model(model, **done), **widgets, images=clip)


def test_no_compiler_is_told_on_the_node(model, monkeypatch, shown):
    def failing(graph, example):
        raise RuntimeError("no compiler is installed")

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=failing))
    with CurrentNodeContext("prompt", "9"), pytest.raises(IVGError):
        optimize_model(model, compile=True)
    assert shown == [("9", shown[0][1])]
    assert shown[0][1].startswith("Nothing can be compiled for cpu here") and "no compiler is installed" in shown[0][1]
    torch._dynamo.reset()


# ---- other kinds of networks


def image_model():
    return load_model(GOLDEN / "glv_more" / "sd1")


def tuned_model():
    """An image model tuned to one video."""
    model = image_model()
    unet = with_clips(model.unet, VideoClips(3, 2, 4), 2)
    return replace(model, unet=unet, defaults=replace(model.defaults, num_frames=4))


def text_model():
    return load_model(GOLDEN / "motiondirector" / "training" / "model")


@pytest.mark.parametrize("kind", [image_model, tuned_model, text_model])
def test_other_kinds_in_8_bits_compiled_and_in_windows(kind, compiler, monkeypatch):
    monkeypatch.setattr(InflatedUNet, "_repeated_blocks", ["BasicTransformerBlock"])
    plain = manage(kind())
    eight, both = optimize_model(plain), optimize_model(plain, compile=True)
    with torch.inference_mode():
        options = IVGWindows.execute(4, 2, "static", "flat", "independent", 1, False)[0]
        exact, rounded, compiled = (
            IVGTextToVideo.execute(managed, "rain", "", 3, 7, 2, 2.0, 4.0, 64, 64, options=options)[0]
            for managed in (plain, eight, both)
        )
    assert 20 < psnr(rounded, exact) < 60 and psnr(compiled, rounded) > 50
    assert compiler() > 1  # more than the check
