"""SMCD's network and its guidance against the numbers of its code; that closed gates change nothing."""

import pytest
import torch
from box_gates import text_to_video_network
from diffusers.models.embeddings import get_fourier_embeds_from_boundingbox
from safetensors.torch import load_file
from smcd_folder import GOLDEN, calls, released

from ivg_core.checkpoints.layout import read_layout
from ivg_core.checkpoints.load import load_component
from ivg_core.checkpoints.original import SCHEDULER
from ivg_core.errors import IVGError
from ivg_core.models.add_gates import with_gates
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.bundle import IVGModel
from ivg_core.models.grounding import GATES, Tokens
from ivg_core.models.lora import lora_sites
from ivg_core.models.schedule import predict_x0
from ivg_core.models.told import Told
from ivg_core.models.unet import IVGUNet
from ivg_core.sampling.generate import denoise
from ivg_core.sampling.guidance import AsCoded, Guided
from ivg_core.sampling.solver import make_solver

VARIANTS = {
    "vanilla": ("boxes", "gate_vis"),
    "cross_vision": ("boxes_photo", "gate_vis"),
    "parallel": ("parallel", "gate_vis"),
    "merge": ("merged", "gate_vis24"),
    "double": ("double", "gate_vis24"),
}


def close(ours, theirs, limit=1e-5):
    torch.testing.assert_close(ours, theirs, atol=limit, rtol=0)


@pytest.fixture(scope="module")
def io():
    return calls()


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    folder = released(tmp_path_factory.mktemp("smcd") / "checkpoint-1")
    return load_component(read_layout(folder), "unet", torch.float32, "cpu")


@pytest.fixture(scope="module")
def backbone(unet):
    return UNetBackbone(IVGModel(unet, None, None, None, None, dict(SCHEDULER)), 2, codec=object())


@pytest.fixture(scope="module")
def told(io):
    from check_smcd import told

    return lambda *given, **changed: told(io, *given, **changed)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gate_is_the_reference(io, variant):
    parts, prefix = load_file(GOLDEN / "smcd_parts.safetensors"), f"gates.{variant}."
    ours, seen = VARIANTS[variant]
    gate = GATES[ours](16, 24, io[seen].shape[-1], 2, 8)
    gate.load_state_dict({key.removeprefix(prefix): t.float() for key, t in parts.items() if key.startswith(prefix)})
    nowhere = io["gate_ctx"].new_zeros(*io["gate_ctx"].shape[:2], 5)
    close(gate(io["gate_x"], Tokens(io["gate_ctx"], io[seen], nowhere, nowhere, 1, (4, 4))), io[f"gate_{variant}"])


@torch.no_grad()
def test_tokens_are_the_reference(unet, io, told):
    whole = told()
    close(unet.position_net(whole.boxes, whole.phrases), io["grounding_tokens"])
    close(unet.position_net(torch.zeros_like(whole.boxes), whole.phrases), io["grounding_tokens_null"])
    close(get_fourier_embeds_from_boundingbox(8, whole.boxes[0, ..., :4]), io["fourier"])
    tokens = unet.visual_encoder(io["first_latent"])
    close(tokens, io["visual_tokens"])
    close(tokens.transpose(1, 2).unflatten(2, (2, 2)), io["visual_map"])


@torch.no_grad()
@pytest.mark.parametrize("name", ["unet_full", "unet_null_boxes", "unet_zero_image", "unet_no_grounding"])
def test_the_network_is_the_reference(backbone, io, told, name):
    photo = io["first_latent"][:, :, None]
    what = {
        "unet_full": {},
        "unet_null_boxes": {"boxes": torch.zeros_like(told().boxes)},
        "unet_zero_image": {"photo": torch.zeros_like(photo)},  # beside the frames, and for the gates
        "unet_no_grounding": {"boxes": None, "phrases": None},
    }[name]
    close(backbone(io["xt"], io["t"], told(**what)), io[name])


@torch.no_grad()
def test_without_its_gates_it_is_the_text_to_video_network(unet, io):
    plain = IVGUNet.from_config_dict({**unet.config, "gates": "", "visual_widths": (), "in_channels": 4})
    weights = {key: t for key, t in unet.state_dict().items() if key in plain.state_dict()}
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :4]
    plain.load_state_dict(weights)
    close(plain.eval()(io["xt"], io["t"], io["text"]), io["unet_t2v"])


@torch.no_grad()
def test_guidance_as_it_is_coded(backbone, io, told):
    """Scales of 7.5, of the photo 2.0, of text and boxes 1.5: the last term is plain arithmetic on top."""
    alpha = io["alphas_cumprod"][io["t"]]
    without = told(photo=torch.zeros_like(told().photo), seen=told().photo)
    ladder = [(1.0, told("null_text")), (7.5, told())]
    found = {
        "cfg": Guided(backbone, ladder)(io["xt"], io["t"], 0.0),
        "cfg_img": AsCoded(backbone, ladder, without, 2.0)(io["xt"], io["t"], 0.0),
    }
    lower, upper = (backbone(io["xt"], io["t"], told(text)) for text in ("null_text", "text"))
    found |= {f"{name}_ti": eps + 2 * lower + 1.5 * (upper - lower) for name, eps in found.items()}
    for name, eps in found.items():
        close(eps, io[f"guided_eps_{name}"], 1e-4)  # ten calls of 1e-5: differences times 7.5
        close(predict_x0(io["xt"], eps, alpha, "epsilon"), io[f"guided_x0_{name}"], 2e-4)


@torch.no_grad()
def test_five_steps_are_the_reference(backbone, io, told):
    solver = make_solver(SCHEDULER, 5, "ddim")
    close(solver.alphas_cumprod, io["alphas_cumprod"])
    done = denoise(Guided(backbone, [(1.0, told("null_text")), (7.5, told())]), solver, io["xt"])
    close(done, io["ddim5_cfg"], 2e-4)


# ---------------------------------------------------------------- what it shows besides


@torch.no_grad()
def test_boxes_scale_and_photo_scale_each_separate_what_one_condition_adds(backbone, io, told):
    """The four rungs, and what the sum is by hand."""
    photo = io["first_latent"][:, :, None]
    absent = torch.zeros_like(told().boxes)
    rungs = [
        told("null_text", photo=torch.zeros_like(photo), boxes=absent),
        told("null_text", boxes=absent),
        told("null_text"),
        told(),
    ]
    e = [backbone(io["xt"], io["t"], rung) for rung in rungs]
    guided = Guided(backbone, list(zip((1.0, 2.0, 3.0, 7.5), rungs, strict=True)))(io["xt"], io["t"], 0.0)
    close(guided, e[0] + 2 * (e[1] - e[0]) + 3 * (e[2] - e[1]) + 7.5 * (e[3] - e[2]), 1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("scales", "rows"), [((1.0, 1.0, 1.0, 7.5), 2), ((1.0, 3.0, 3.0, 3.0), 2), ((1.0,) * 4, 1)])
def test_rungs_that_cancel_out_are_not_computed(backbone, io, told, scales, rows):
    calls = []

    class Counting:
        def __call__(self, noisy, level, what, features=None):
            calls.append(len(noisy))
            return backbone(noisy, level, what)

    absent = torch.zeros_like(told().boxes)
    rungs = [
        told("null_text", photo=told().photo * 0, boxes=absent),
        told("null_text", boxes=absent),
        told("null_text"),
    ]
    guided = Guided(Counting(), list(zip(scales, [*rungs, told()], strict=True)))(io["xt"], io["t"], 0.0)
    assert sum(calls) == rows
    e = [backbone(io["xt"], io["t"], rung) for rung in (*rungs, told())]
    by_hand = e[0] + sum(s * (b - a) for s, a, b in zip(scales[1:], e[:-1], e[1:], strict=True))
    close(guided, by_hand, 1e-4)


@torch.no_grad()
def test_scales_of_one_are_plain_guidance_bit_for_bit(backbone, io, told):
    rungs = [(1.0, told("null_text", boxes=torch.zeros_like(told().boxes))), (1.0, told("null_text")), (7.5, told())]
    plain = Guided(backbone, rungs[1:])(io["xt"], io["t"], 0.0)
    assert torch.equal(Guided(backbone, rungs)(io["xt"], io["t"], 0.0), plain)


@torch.no_grad()
@pytest.mark.parametrize("gates", ["boxes", "boxes_photo"])
def test_new_gates_leave_a_text_to_video_network_as_it_is(io, told, gates):
    plain = text_to_video_network(16, 4)
    gated = with_gates(plain, gates, (8, 12, 20, 20))
    assert gated.takes_boxes and gated.takes_photo == (gates == "boxes_photo")
    before = plain(io["xt"], io["t"], io["text"])
    whole = told() if gates == "boxes_photo" else told(photo=None)
    assert torch.equal(_ask(gated, io, Told(io["text"], whole.photo)), before)
    assert torch.equal(_ask(gated, io, whole), before)


@torch.no_grad()
def test_new_gates_leave_an_ivg_network_as_it_is_and_no_boxes_pass_them_by(tiny_model):
    plain = tiny_model.unet
    gated = with_gates(plain, "boxes")
    boxes = torch.rand(1, 2, 8, 5).sort(-1).values
    phrases = torch.randn(1, 1, 8, plain.config["cross_attention_dim"])
    x, text = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 77, plain.config["cross_attention_dim"])
    told = {"condition_latent": x[:, :, :1], "mask": torch.ones(1, 1, 1, 8, 8), "motion": torch.ones(1)}
    before = plain(x, 500, text, **told)
    assert torch.equal(gated(x, 500, text, boxes=boxes, phrases=phrases, **told), before)
    for name, parameter in gated.named_parameters():
        if "alpha" in name:
            torch.nn.init.constant_(parameter, 1.0)
    assert torch.equal(gated(x, 500, text, **told), before)
    moved = gated(x, 500, text, boxes=boxes, phrases=phrases, **told)
    assert not torch.allclose(moved, before)


@torch.no_grad()
def test_a_window_of_the_frames_uses_its_own_boxes(backbone, io, told):
    whole = told()
    part = whole.frames(slice(1, 3))
    assert torch.equal(part.boxes, whole.boxes[:, 1:3]) and torch.equal(part.phrases, whole.phrases[:, 1:3])
    x = io["xt"][:, :, 1:3]
    swapped = whole.frames(slice(0, 2))
    assert not torch.allclose(backbone(x, io["t"], part), backbone(x, io["t"], swapped), atol=1e-4)


def test_gates_are_no_place_for_a_lora(unet, tiny_model):
    names = [name for role in ("spatial", "temporal", "text", "conv") for name in lora_sites(unet, [role])]
    assert names and not [n for n in names if "fuser" in n or "visual_encoder" in n or "position_net" in n]
    gated = with_gates(tiny_model.unet, "boxes")
    for role in ("spatial", "temporal", "text"):
        assert list(lora_sites(gated, [role])) == list(lora_sites(tiny_model.unet, [role]))


@pytest.mark.parametrize(
    ("start", "gates", "said"),
    [("none", "odd", "There are no gates 'odd'"), ("photo", "parallel", "cannot get"), ("ivg", "boxes_photo", "IVG")],
)
def test_gates_that_cannot_be_added(unet, tiny_model, start, gates, said):
    network = unet if start == "photo" else tiny_model.unet
    with pytest.raises(IVGError, match=said):
        with_gates(network, gates)


def _ask(network, io, what):
    return network(io["xt"], io["t"], what.text, condition_latent=what.photo, boxes=what.boxes, phrases=what.phrases)
