"""`ivg generate --video`: video to video, control, depth and masks by the command line."""

import shutil

import pytest
import torch

from ivg_core.cli import main
from ivg_core.commands import generate as command
from ivg_core.media.images import save_png
from ivg_core.media.video import read_video, write_video
from ivg_core.models.adapter import FrameAdapter
from ivg_core.sampling import generate as generating

SHORT = ["--prompt", "snow", "--steps", "4", "--window", "4", "--stride", "2"]


@pytest.fixture(scope="module")
def sd1(glv_more):
    return glv_more.folder / "sd1"


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A video of 6 frames at 12 a second, masks that move over it, and one of them."""
    monkeypatch.chdir(tmp_path)
    rng = torch.Generator().manual_seed(0)
    blocks = torch.rand(6, 6, 8, 3, generator=rng).repeat_interleave(8, 1).repeat_interleave(8, 2)
    write_video(blocks, tmp_path / "v" / "v.png", 12)
    write_video(blocks, tmp_path / "video.mp4", 12)
    masks = torch.zeros(6, 48, 64)
    for i in range(6):
        masks[i, 8:32, 8 * i : 8 * i + 16] = 1
        save_png(masks[i], tmp_path / "masks" / f"{i}.png")
    write_video(masks[..., None].expand(-1, -1, -1, 3), tmp_path / "masks.mp4", 12)
    return masks


@pytest.fixture
def asked(monkeypatch):
    """What `generate` was given."""
    found = {}
    generate = generating.generate

    def seen(*given, **more):
        video = generate(*given, **more)
        found.clear()
        found.update(more, frames=torch.cat(list(video.chunks)))
        return video

    monkeypatch.setattr(generating, "generate", seen)
    return found


def run(model, *words):
    return main(["generate", "--model", str(model), *SHORT, "--out", "out.mp4", *map(str, words)])


def test_a_video_made_of_a_video(sd1, kit, asked):
    assert run(sd1, "--video", "video.mp4", "--strength", "0.5") == 0
    source = asked["source"]
    assert source.strength == 0.5 and torch.equal(source.frames, read_video("video.mp4")[0])
    assert asked["size"] == (72, 56) and not asked["how"].composite  # of the model's area
    frames, fps = read_video("out.mp4")
    assert frames.shape == (6, 56, 72, 3) and fps == 12


def test_the_first_frames_and_the_video_itself(sd1, kit, asked):
    words = ("--video", "v", "--frames", "4", "--strength", "0", "--size", "64x48", "--fps", "5")
    assert run(sd1, *words) == 0
    assert torch.equal(asked["frames"], read_video("v")[0][:4]) and read_video("out.mp4")[1] == 5


@pytest.mark.parametrize("masks", ["masks", "masks.mp4", "masks/2.png"])
def test_what_masks_leave_out_stays(sd1, kit, asked, masks):
    assert run(sd1, "--video", "v", "--mask", masks, "--strength", "1", "--size", "64x48") == 0
    inside = kit.bool() if masks != "masks/2.png" else kit[2].bool().expand(6, -1, -1)
    source, made = read_video("v")[0], asked["frames"]
    assert torch.equal(made[~inside], source[~inside]) and not torch.equal(made[inside], source[inside])
    assert run(sd1, "--video", "v", "--strength", "1", "--no-composite") == 0 and not asked["how"].composite


def test_a_control_net_follows_edges_or_a_video(sd1, kit, asked):
    net = ("--control-net", sd1 / "controlnet")
    assert run(sd1, "--video", "v", "--canny", *net, "--control-scale", "0.7") == 0
    control = asked["control"]
    assert control.scale == 0.7 and set(control.frames.unique().tolist()) == {0, 1} and len(control.frames) == 6
    assert run(sd1, "--control", "video.mp4", *net) == 0  # without a source: as many frames
    assert torch.equal(asked["control"].frames, read_video("video.mp4")[0]) and asked["control"].scale == 1
    assert asked["frames"].shape == (6, 56, 72, 3) and "source" not in asked
    assert run(sd1, "--control", "masks/0.png", "--frames", "5", *net) == 0
    assert asked["frames"].shape == (5, 56, 72, 3)


def with_unet(glv_more, name, folder):
    shutil.copytree(glv_more.folder / "sd1", folder)
    return shutil.copytree(glv_more.folder / name, folder, dirs_exist_ok=True)


def test_depth_and_inpainting(glv_more, kit, asked, tmp_path):
    deep = with_unet(glv_more, "sd2_depth", tmp_path / "deep")
    assert run(deep, "--depth", "masks.mp4") == 0
    assert asked["beside"].shape == (1, 1, 6, 7, 9) and asked["frames"].shape == (6, 56, 72, 3)
    assert run(deep, "--depth", "masks/0.png", "--video", "v", "--size", "64x48") == 0
    assert asked["beside"].shape == (1, 1, 1, 6, 8) and asked["beside"].amax() == 1
    painting = with_unet(glv_more, "sd2_inpaint", tmp_path / "painting")
    assert run(painting, "--video", "v", "--mask", "masks", "--strength", "1", "--size", "64x48") == 0
    assert torch.equal(asked["frames"][~kit.bool()], read_video("v")[0][~kit.bool()])


def test_skeletons_are_followed_by_a_model_that_knows_them(follow_pose, kit, asked, tmp_path):
    pose = follow_pose.write_model(tmp_path / "pose")
    assert run(pose, "--control", "video.mp4", "--control-scale", "0.5") == 0
    control = asked["control"]
    assert (control.net, control.scale) == (None, 0.5) and torch.equal(control.frames, read_video("video.mp4")[0])
    assert read_video("out.mp4")[0].shape == (6, 56, 72, 3)


def test_an_adapter_follows_as_a_control_net_does(sd1, glv_more, kit, asked):
    adapter = glv_more.folder / "t2i_adapter.safetensors"
    assert run(sd1, "--video", "v", "--canny", "--control-net", adapter) == 0
    assert isinstance(asked["control"].net, FrameAdapter)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strength", "0.5"], "--strength is of no use without --video"),
        (["--canny", "--control-net", "x"], "--canny is of no use without --video"),
        (["--video", "v", "--canny"], "--canny is of no use without --control-net"),
        (["--control-scale", "1"], "--control-scale is of no use without --control or --canny"),
        (["--control-net", "x"], "--control-net is of no use without --control or --canny"),
        (["--video", "v", "--image", "masks/0.png", "--chain"], "go without --image and --chain"),
        (["--video", "v", "--noise-prior", "v"], "go without --noise-prior"),
        (["--depth", "v", "--fallback", "white"], "go without --fallback"),
        (["--video", "none.mp4"], "no video at none.mp4"),
        (["--depth", "none.mp4"], "no video at none.mp4"),
        (["--video", "v", "--fps", "999"], "at most 240"),
        (["--video", "v", "--strength", "1.5"], "give a number of at least 0 and at most 1"),
        (["--video", "v", "--control", "v", "--canny"], "not allowed with argument"),
    ],
)
def test_what_does_not_fit_is_said_before_the_model_is_loaded(kit, monkeypatch, capsys, words, said):
    monkeypatch.setattr(command, "load_for_sampling", None)
    try:
        failed = run("embedded", *words)
    except SystemExit as end:
        failed = end.code
    assert failed and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--video", "v", "--frames", "9"], "has 6 frames, and 9 are asked for"),
        (["--video", "v", "--mask", "masks/0.png", "--no-composite"], "reads no mask of a source video"),
        (["--depth", "v"], "reads nothing beside the latents"),
        (["--mask", "masks/0.png"], "without a photo for a mask"),
        (["--control", "v", "--control-net", "v"], "no ControlNet in v"),
        (["--control", "v"], "came nothing that follows a control video: give a ControlNet or a T2I-Adapter"),
    ],
)
def test_what_the_model_cannot_do(sd1, kit, capsys, words, said):
    assert run(sd1, *words) and said in capsys.readouterr().err


def test_a_model_of_photos_starts_from_no_video(golden, kit, capsys):
    assert run(golden / "tiny_ckpt", "--video", "v") and "makes videos of a photo" in capsys.readouterr().err
