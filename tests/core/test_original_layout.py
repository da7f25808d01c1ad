"""Text-to-video models in ModelScope's own files: they become what the diffusers folder holds, weight for weight."""

import gzip
import json
import shutil
from hashlib import sha256

import pytest
import torch
from checkpoint_edits import assert_same_weights
from diffusers import AutoencoderKL, DDIMScheduler
from original_files import TINY, diffusers_unet, ldm_vae, open_clip, random_unet, unet_shapes
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from ivg_core.checkpoints.convert import from_modelscope
from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.init import init_model
from ivg_core.checkpoints.layout import read_layout
from ivg_core.checkpoints.load import load_component, load_model
from ivg_core.checkpoints.networks import compare_keys, empty_network
from ivg_core.checkpoints.original import PUBLISHED, config_of
from ivg_core.checkpoints.save import save_folder
from ivg_core.checkpoints.tokenizer import CLIP_MERGES, load_tokenizer
from ivg_core.checkpoints.weights import TensorInfo
from ivg_core.errors import IVGError
from ivg_core.models.bundle import ModelDefaults

UNET, VAE, TEXT = PUBLISHED.values()
UNET_CONFIG = {
    "_class_name": "UNet3DConditionModel",
    "block_out_channels": [32, 64],
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"],
    "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "layers_per_block": 1,
    "cross_attention_dim": 128,
    "attention_head_dim": 8,
}


@pytest.fixture(scope="module")
def both(golden, tmp_path_factory):
    """One model of random weights twice: a folder of diffusers', and ModelScope's own files."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("modelscope")
    theirs = shutil.copytree(golden / "tiny_ckpt", root / "diffusers")
    ours = root / "original"
    ours.mkdir()
    for part in ("unet", "vae", "text_encoder"):
        shutil.rmtree(theirs / part)
    (theirs / "config.yaml").unlink(missing_ok=True)
    shutil.copytree(theirs / "tokenizer", ours / "tokenizer")

    (theirs / "unet").mkdir()
    (theirs / "unet/config.json").write_text(json.dumps(UNET_CONFIG))
    weights = random_unet(**TINY)
    save_file(
        {k: t.contiguous() for k, t in diffusers_unet(weights).items()},
        theirs / "unet/diffusion_pytorch_model.safetensors",
    )
    torch.save(weights, ours / UNET)

    levels = 4
    blocks = {f"{way.lower()}_block_types": [f"{way}{kind}Block2D"] * levels
              for way, kind in (("Down", "Encoder"), ("Up", "Decoder"))}  # fmt: skip
    vae = AutoencoderKL(block_out_channels=[32, 32, 64, 64], layers_per_block=2, latent_channels=4, **blocks)
    vae.save_pretrained(theirs / "vae")
    stable_diffusion = {f"first_stage_model.{key}": t for key, t in ldm_vae(vae.state_dict(), levels).items()}
    torch.save({"state_dict": stable_diffusion | {"model.diffusion_model.out.2.bias": torch.ones(4)}}, ours / VAE)

    config = CLIPTextConfig(
        vocab_size=524, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
        hidden_act="gelu", eos_token_id=523, bos_token_id=522,
    )  # fmt: skip
    encoder = CLIPTextModel(config)
    encoder.save_pretrained(theirs / "text_encoder")
    torch.save(open_clip(encoder.state_dict()), ours / TEXT)
    return theirs, ours


@pytest.fixture
def original(both, tmp_path):
    """ModelScope's own files, to change at will."""
    return shutil.copytree(both[1], tmp_path / "zs2_576w")


def refuse(source, *words, **options):
    with pytest.raises(IVGError) as raised:
        load_model(source, **options)
    message = str(raised.value)
    assert all(str(word) in message for word in words) and "\n" not in message, message


@torch.no_grad()
def test_they_are_the_diffusers_folder_weight_for_weight(both):
    theirs, ours = map(load_model, both)
    assert_same_weights(ours, theirs)
    assert not ours.takes_photo
    sample, text = torch.randn(1, 4, 2, 8, 8), torch.randint(500, (1, 77))
    states = ours.text_encoder(text)[0]
    assert torch.equal(states, theirs.text_encoder(text)[0])  # heads and activation are the same too
    torch.testing.assert_close(ours.unet(sample, 500, states), theirs.unet(sample, 500, states))
    torch.testing.assert_close(ours.vae.decode(sample[:, :, 0]).sample, theirs.vae.decode(sample[:, :, 0]).sample)


def test_half_precision_safetensors_and_the_unet_alone_by_its_path(both, original):
    for name, ending in ((UNET, ".fp16.safetensors"), (TEXT, "_fp16.safetensors"), (VAE, ".safetensors")):
        state = torch.load(original / name, weights_only=True)
        halves = {key: t.half().contiguous() for key, t in state.get("state_dict", state).items()}
        save_file(halves, (original / name).with_name((original / name).stem + ending))
        (original / name).unlink()
    (unet,) = original.glob("text2video*")
    expected = load_model(both[0], dtype=torch.float16)
    for source in (original, unet):
        assert_same_weights(load_model(source, dtype=torch.float16), expected, torch.float16)
    mine = unet.rename(original / "mine.safetensors")
    assert_same_weights(load_model(mine, dtype=torch.float16), expected, torch.float16)


def test_safetensors_come_before_pickles(original):
    save_file(torch.load(original / UNET, weights_only=True), original / UNET.replace(".pth", ".safetensors"))
    (original / UNET).write_bytes(b"not read")
    assert load_model(original).unet is not None


def test_the_schedule_is_the_published_one(both):
    published = {
        "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "prediction_type": "epsilon", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1,
    }  # fmt: skip
    assert published.items() <= load_model(both[1]).scheduler_config.items()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anything", ModelDefaults(256, 256, 16, 30, 9.0, 8)),
        ("zs2_576w", ModelDefaults(576, 320, 24, 30, 9.0, 8)),
        ("zeroscope_v2_XL", ModelDefaults(1024, 576, 24, 30, 9.0, 8)),
        ("my_xl", ModelDefaults(256, 256, 16, 30, 9.0, 8)),
    ],
)
@pytest.mark.parametrize("kind", [0, 1])
def test_what_it_was_made_for(both, tmp_path, kind, name, expected):
    folder = shutil.copytree(both[kind], tmp_path / "copies" / name)
    assert read_layout(folder).defaults == expected
    if kind:
        assert read_layout(folder / UNET).defaults == expected


@pytest.mark.parametrize("lost", [[VAE], [TEXT], [VAE, TEXT]])
def test_a_missing_file_is_named_with_its_place(original, lost):
    for name in lost:
        (original / name).unlink()
    refuse(original, original, f"lacks {' and '.join(lost)}", f"put it into {original}")
    refuse(original / UNET, f"lacks {' and '.join(lost)}", f"put it into {original}.")
    report = inspect_checkpoint(original)
    assert not report.usable and len(report.missing) == len(lost)


def test_what_is_missing_may_lie_elsewhere(both, original, tmp_path):
    (tmp_path / "clip").mkdir()
    (original / TEXT).rename(tmp_path / "clip" / TEXT)
    model = load_model(original, beside=[tmp_path / "none", tmp_path / "clip"])
    assert_same_weights(model, load_model(both[0]))


def test_a_vocabulary_without_its_tokenizer(original):
    shutil.rmtree(original / "tokenizer")
    refuse(original, "lacks tokenizer")  # 524 tokens are not CLIP's


def test_the_shipped_tokenizer_is_clips_and_fills_up_with_token_0(golden, original):
    shutil.rmtree(original / "tokenizer")
    text = torch.load(original / TEXT, weights_only=True)
    text["token_embedding.weight"] = torch.zeros(49408, 128)
    torch.save(text, original / TEXT)
    layout = read_layout(original)
    tokenizer = load_tokenizer(layout.tokenizer_files, "here")
    expected = json.loads((golden / "modelscope/tokens.json").read_text())
    assert {said: tokenizer(said, truncation=True).input_ids for said in expected} == expected
    assert tokenizer("stop!", padding="max_length").input_ids == [49406, 1691, 256, 49407, *[0] * 73]
    again = load_model(save_folder(load_model(original), original / "saved")).tokenizer
    assert again("stop!", padding="max_length").input_ids == tokenizer("stop!", padding="max_length").input_ids


def test_every_published_name_has_its_place():
    shapes = unet_shapes()
    tensors = {key: TensorInfo(shape, "float16") for key, shape in shapes.items()}
    config = config_of("unet", tensors, UNET)
    assert (config["block_out_channels"], config["layers_per_block"]) == ([320, 640, 1280, 1280], 2)
    assert (config["attention_head_dim"], config["cross_attention_dim"]) == (64, 1024)
    unet = empty_network("unet", config, shapes, "here")
    assert not unet.config["photo"]
    renamed = from_modelscope({key: torch.empty(shape, device="meta") for key, shape in shapes.items()}, unet)
    assert not compare_keys(unet, renamed) and len(renamed) == len(shapes)
    assert renamed.keys() == diffusers_unet({key: torch.empty(0) for key in shapes}, layers=2).keys()


def test_the_card_of_the_vocabulary_names_it_by_its_hashes():
    card = CLIP_MERGES.with_name("clip-merges.md").read_text()
    packed = CLIP_MERGES.read_bytes()
    assert all(sha256(data).hexdigest() in card for data in (packed, gzip.decompress(packed)))
    assert "OpenAI" in CLIP_MERGES.with_name("LICENSE-clip.txt").read_text()


@torch.no_grad()
def test_the_network_computes_what_modelscopes_does(golden):
    io = load_file(golden / "modelscope/io.safetensors")
    layout = read_layout(golden / "modelscope" / UNET.replace(".pth", ".safetensors"))
    unet = load_component(layout, "unet", torch.float32, "cpu")
    torch.testing.assert_close(unet(io["xt"], io["t"], io["text"]), io["unet_t2v"], atol=1e-5, rtol=0)
    scheduler = DDIMScheduler.from_config(layout.scheduler_config)
    scheduler.set_timesteps(5)
    x = io["xt"]
    for t in scheduler.timesteps:
        plain, told = unet(x, t, io["null_text"]), unet(x, t, io["text"])
        x = scheduler.step(plain + 9 * (told - plain), t, x).prev_sample
    torch.testing.assert_close(x, io["ddim5_t2v"], atol=2e-4, rtol=0)


def test_an_ivg_model_begins_from_them_too(both):
    theirs, ours = (init_model(folder, seed=3) for folder in both)
    assert_same_weights(ours, theirs)
    assert ours.takes_photo


def test_info_says_what_it_is(both):
    for folder in both:
        report = inspect_checkpoint(folder, size=(32, 32), num_frames=2)
        assert report.usable and report.kind.startswith("A text-to-video model")
        said = str(report)
        assert not any(word in said for word in ("mask", "motion", "stage"))
    sizes = {part.name: part.parameters for part in report.components}
    model = load_model(both[1])
    assert sizes == {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in sizes}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: {**t, "middle_block.1.transformer_blocks.0.gate_attn.alpha_attn": torch.ones(1)},
            "lacks the box tokens of SMCD",
        ),
        (lambda t: {"model.diffusion_model." + key: value for key, value in t.items()}, "Stable Diffusion checkpoint"),
        (lambda t: {**diffusers_unet(t), "conv_in2.weight": torch.ones(1)}, "only the UNet"),
        (diffusers_unet, "only the UNet"),
        (lambda t: {"a": torch.ones(1)}, "weights of another kind"),
        (lambda t: {k: v for k, v in t.items() if k != "out.2.weight"}, "no whole text2video_pytorch_model.pth"),
        (lambda t: {k: v for k, v in t.items() if k != "out.0.bias"}, "1 missing: conv_norm_out.bias"),
        (lambda t: {**t, "extra": torch.ones(1)}, "1 unexpected: extra"),
        (lambda t: {**t, "out.0.bias": torch.full((32,), torch.nan)}, "NaN"),
    ],
)
def test_another_file_in_its_place(original, change, words):
    torch.save(change(torch.load(original / UNET, weights_only=True)), original / UNET)
    refuse(original, words)
    torch.save(torch.load(original / UNET, weights_only=True), original / "pytorch_model.bin")
    refuse(original / "pytorch_model.bin", words)


def test_a_part_given_for_the_whole(original):
    for name in (VAE, TEXT):
        refuse(original / name, "only one part of a text-to-video model", UNET)


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        (TEXT, "transformer.resblocks.0.attn.in_proj_weight", torch.tensor(1.0), "shapes that cannot be"),
        (TEXT, "token_embedding.weight", torch.tensor(1.0), "no whole open_clip"),
        (TEXT, "transformer.resblocks.x.ln_1.bias", torch.ones(1), ""),  # what is no layer is left out
        (VAE, "first_stage_model.encoder.mid.attn_1.q.weight", torch.ones(3, 3, 0), "shapes that cannot be"),
        (UNET, "input_blocks.x.0.weight", torch.ones(1), "no whole text2video"),
        (UNET, "input_blocks.0.op.weight", torch.ones(1), "no whole text2video"),
    ],
)
def test_weights_of_odd_shapes_and_names(original, name, key, value, words):
    state = torch.load(original / name, weights_only=True)
    state.get("state_dict", state)[key] = value
    torch.save(state, original / name)
    if words:
        refuse(original, words)
    else:
        load_model(original)


@pytest.mark.parametrize("name", [UNET, VAE, TEXT])
def test_a_damaged_file(original, name):
    data = (original / name).read_bytes()
    (original / name).write_bytes(data[: len(data) // 2])
    refuse(original, original / name, "half-downloaded")
    assert "half-downloaded" in str(inspect_checkpoint(original))


def test_code_is_not_run(original):
    class Trap:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"a": Trap()}, original / VAE)
    refuse(original, VAE, "program code")
