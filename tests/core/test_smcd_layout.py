"""SMCD's released files: three of its own beside ModelScope's autoencoder and text encoder."""

import shutil

import pytest
import smcd_folder
import torch
from checkpoint_edits import assert_same_weights
from smcd_folder import calls, released

from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.init import init_model
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_file, save_folder
from ivg_core.errors import IVGError

UNET, BOXES, PHOTO = "pytorch_model.bin", "pytorch_model_1.bin", "pytorch_model_2.bin"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return smcd_folder.base(tmp_path_factory.mktemp("modelscope") / "base")


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """The checkpoint, with the base's files in its folder."""
    folder = released(tmp_path_factory.mktemp("smcd") / "checkpoint-60000")
    return shutil.copytree(base, folder, dirs_exist_ok=True)


@pytest.fixture
def files(whole, tmp_path):
    """The same, to change at will."""
    return shutil.copytree(whole, tmp_path / "checkpoint-1")


def refuse(source, *words, **options):
    with pytest.raises(IVGError) as raised:
        load_model(source, **options)
    message = str(raised.value)
    assert all(str(word) in message for word in words) and "\n" not in message, message


def edit(path, change):
    torch.save(change(torch.load(path, weights_only=True)), path)


@torch.no_grad()
def test_it_loads_as_a_whole_and_answers_as_its_code(whole):
    model, io = load_model(whole), calls()
    assert model.takes_photo and model.takes_boxes and not model.takes_mask
    made_for = model.defaults
    assert (made_for.width, made_for.height, made_for.num_frames) == (256, 256, 8)
    assert (made_for.num_inference_steps, made_for.guidance_scale) == (50, 7.5)
    boxes = torch.cat([io["boxes"], io["masks"][..., None]], dim=-1)
    out = model.unet(
        io["xt"], io["t"], io["text"], condition_latent=io["first_latent"][:, :, None],
        boxes=boxes, phrases=io["positive_embeddings"],
    )  # fmt: skip
    torch.testing.assert_close(out, io["unet_full"], atol=1e-5, rtol=0)


def test_the_base_may_lie_elsewhere_and_the_file_may_be_named(base, whole, tmp_path):
    alone = released(tmp_path / "checkpoint-2")
    refuse(alone, "lacks VQGAN_autoencoder.pth and open_clip_pytorch_model.bin", alone)
    for source in (alone, alone / UNET):
        assert_same_weights(load_model(source, beside=[base]), load_model(whole))


def test_safetensors_of_a_newer_accelerate(files, whole):
    from safetensors.torch import save_file as write

    for old, new in ((UNET, "model"), (BOXES, "model_1"), (PHOTO, "model_2")):
        write(torch.load(files / old, weights_only=True), files / f"{new}.safetensors")
        (files / old).unlink()
    assert_same_weights(load_model(files), load_model(whole))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_file_and_one_folder_of_ours_bring_it_back(whole, tmp_path, kind):
    model = load_model(whole)
    if kind == "file":
        path = save_file(model, tmp_path / "smcd.safetensors", torch.float32)
    else:
        path = save_folder(model, tmp_path / "smcd")
    again = load_model(path)
    assert_same_weights(again, model)
    assert (again.takes_photo, again.takes_boxes, again.takes_mask) == (True, True, False)
    assert again.unet.config["gates"] == "boxes_photo" and again.unet.config["visual_widths"] == [8, 12, 20, 20]
    assert again.defaults == model.defaults


def test_info_knows_it(whole):
    report = inspect_checkpoint(whole, size=(64, 64), num_frames=2)
    assert report.usable and report.kind.startswith("A model of SMCD")
    said = str(report)
    assert 'follows boxes: gates "boxes_photo"' in said and "motion_mask" not in said and "stage-1" not in said
    model = load_model(whole)
    sizes = {part.name: part.parameters for part in report.components}
    assert sizes == {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in sizes}


# ---------------------------------------------------------------- variants


def as_gates(state, change):
    """The weights of the UNet with each gate's renamed, left out or joined by others."""
    found = {}
    for key, tensor in state.items():
        head, gate, rest = key.partition(".gate_attn.")
        for name, value in change(rest, tensor).items() if gate else [(None, tensor)]:
            found[f"{head}.gate_attn.{name}" if gate else key] = value
    return found


def boxes_only(rest, tensor):
    return {} if rest.startswith(("cross_", "v_")) else {rest: tensor}


def merged(rest, tensor):
    return {} if rest.startswith("cross_") else {rest: tensor}


def parallel(rest, tensor):
    betas = {"beta_g": torch.ones(()), "beta_v": torch.ones(())} if rest == "alpha_attn" else {}
    return {rest: tensor} | betas


def double(rest, tensor):
    if rest.startswith(("cross_", "v_")):
        return {}
    twin = tensor.new_zeros(tensor.shape[0], 20) if rest == "linear.weight" else tensor
    return {rest: tensor, f"visual_{rest}": twin} | (
        {"beta_g": torch.ones(()), "beta_v": torch.ones(())} if rest == "alpha_attn" else {}
    )


@pytest.mark.parametrize(
    ("change", "kind"), [(boxes_only, "boxes"), (merged, "merged"), (parallel, "parallel"), (double, "double")]
)
@torch.no_grad()
def test_a_variant_is_told_by_its_weights(files, change, kind):
    edit(files / UNET, lambda state: as_gates(state, change))
    if kind == "boxes":
        (files / PHOTO).unlink()
    unet = load_model(files).unet
    assert unet.config["gates"] == kind and bool(unet.config["visual_widths"]) == (kind != "boxes")
    io = calls()
    boxes = torch.cat([io["boxes"], io["masks"][..., None]], dim=-1)
    told = {"condition_latent": io["first_latent"][:, :, None], "phrases": io["positive_embeddings"]}
    with_boxes = unet(io["xt"], io["t"], io["text"], boxes=boxes, **told)
    assert not torch.allclose(with_boxes, unet(io["xt"], io["t"], io["text"], **told), atol=1e-3)


def test_four_channels_are_a_variant_that_has_the_photo_in_its_gates_alone(files):
    key = "input_blocks.0.0.weight"
    edit(files / UNET, lambda state: {**state, key: state[key][:, :4].clone()})
    model = load_model(files)
    assert model.unet.config["in_channels"] == 4 and model.takes_photo


def test_what_cannot_be_loaded_is_named(files):
    (files / PHOTO).rename(files / "kept")
    refuse(files, "photo tokens (pytorch_model_2.bin) are missing", "clip_vision")
    torch.save({"zero_convs.0.weight": torch.ones(1)}, files / PHOTO)
    refuse(files, files / PHOTO, "ControlNet")
    (files / "kept").rename(files / PHOTO)
    (files / BOXES).rename(files / "kept")
    refuse(files, "lacks the box tokens of SMCD (pytorch_model_1.bin)")
    shutil.copy(files / "kept", files / "boxes.bin")
    refuse(files / "boxes.bin", "only one part of SMCD", UNET)


def test_a_file_of_code_is_refused(files):
    import pickle

    (files / BOXES).write_bytes(pickle.dumps(print))
    refuse(files, files / BOXES)


def test_no_ivg_model_begins_from_it(whole):
    with pytest.raises(IVGError, match="text-to-video"):
        init_model(whole)


def test_a_folder_without_its_unet_is_no_checkpoint(files):
    (files / UNET).unlink()
    refuse(files, "is no IVG checkpoint")
