"""`track`, `draw-boxes` and `score-boxes`, from file to file; and what a drawn box looks like."""

import pytest
import torch

from ivg_core.cli import main
from ivg_core.media.images import load_image, load_mask, save_png
from ivg_core.media.track_files import read_track, write_track
from ivg_core.media.track_picture import COLOURS, draw_boxes
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.media.video import read_video, write_video
from ivg_core.synthetic.clips import Scene

START, GOAL = (0.1, 0.25, 0.3, 0.5), (0.6, 0.25, 0.8, 0.5)
TRACK = Track((Thing("cup", (Keyframe(0, START), Keyframe(1, GOAL)), "linear"),))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A photo, a clip of 3 frames, its track and its bbox.txt, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    frames = torch.rand(3, 48, 80, 3, generator=torch.Generator().manual_seed(0)).mul(0.5)
    frames = torch.nn.functional.avg_pool2d(frames.permute(0, 3, 1, 2), 5, 1, 2).permute(0, 2, 3, 1)
    save_png(frames[0], tmp_path / "photo.png")
    write_video(frames, tmp_path / "clip.mp4", 8)
    write_track(TRACK, tmp_path / "clip.track.json")
    (tmp_path / "bbox.txt").write_text("8,12,24,24\n48,12,64,24\n")
    return tmp_path


def run(*words, status=0):
    assert main([str(word) for word in words]) == status


def test_a_track_of_lines_with_its_region(files, capsys):
    words = ("--boxes", "bbox.txt", "--phrase", "cup", "--photo", "photo.png")
    run("track", *words, "--out", "t.json", "--region", "r.png")
    track = read_track("t.json")
    assert track.boxes(3)[1, 0].tolist() == pytest.approx([0.35, 0.25, 0.55, 0.5, 1])
    region = torch.zeros(48, 80)
    region[12:24, 8:64] = 1
    assert torch.equal(load_mask("r.png"), region)
    assert "cup: 2 boxes, spread over the clip" in capsys.readouterr().out
    run("track", *words, "--also", "t.json", "--out", "two.json")
    assert read_track("two.json").phrases == ["cup", "cup"]
    run("track", "--boxes", "t.json", "--photo", "photo.png", "--grow", "0.1", "--region", "grown.png")
    assert load_mask("grown.png").sum() > region.sum() + 500


def test_a_track_of_masks(files):
    (files / "masks").mkdir()
    for index in range(3):
        mask = torch.zeros(20, 40)
        mask[5:10, 10 * index + 2 : 10 * index + 6] = 1
        save_png(mask, files / "masks" / f"m_{index}.png")
    run("track", "--masks", "masks", "--phrase", "cup", "--out", "t.json", "--region", "r.png")
    assert read_track("t.json").boxes(3)[2, 0].tolist() == pytest.approx([0.55, 0.25, 0.65, 0.5, 1])
    assert load_mask("r.png")[5:10, 2:26].all() and load_mask("r.png").sum() == 5 * 24


def test_a_track_of_hands(files):
    scene = Scene(3, 256, 192)
    frames = torch.from_numpy(scene.clip(scene.tasks[1], num_frames=6).frames).float() / 255
    write_video(frames, "hands.mp4", 8)
    run("track", "--hands", "hands.mp4", "--out", "t.json", "--region", "r.png")
    assert set(read_track("t.json").phrases) <= {"left hand", "right hand"}
    assert load_mask("r.png").shape == (192, 256) and load_mask("r.png").any()


def test_boxes_are_drawn_where_they_are():
    frames = torch.full((3, 96, 160, 3), 0.5)
    drawn = draw_boxes(frames, TRACK)
    colour = torch.tensor(COLOURS[0]) / 255
    for frame, left in zip(drawn, (16, 56, 96), strict=True):
        marked = (frame - 0.5).abs().amax(-1) > 0.01
        below = marked.clone()
        below[:24] = False  # the name is above the box
        rows, columns = torch.nonzero(below).unbind(1)
        assert abs(int(columns.min()) - left) <= 1 and abs(int(rows.max()) - 47) <= 1
        assert ((frame - colour).abs().amax(-1) < 0.01).sum() > 60
    gone = Track((Thing("cup", (Keyframe(0, None),)),))
    assert (draw_boxes(frames, gone) - 0.5).abs().max() < 0.01


def test_each_thing_has_its_own_colour_and_small_boxes_at_every_edge_can_be_drawn():
    edges = [(0, 0, 1e-3, 1e-3), (0.999, 0.999, 1, 1), (0, 0.999, 1, 1), (0.999, 0, 1, 1)]
    things = [Thing("a very long name of a thing " * 3, (Keyframe(0, box),)) for box in edges * 2]
    for size in ((1, 1), (9, 200), (200, 9), (64, 48)):
        assert draw_boxes(torch.zeros(1, *size, 3), Track(tuple(things))).shape == (1, *size, 3)
    assert len(set(COLOURS)) == 8


def test_a_clip_with_its_boxes_drawn(files, capsys):
    run("draw-boxes", "clip.mp4", "--track", "clip.track.json", "--out", "drawn.mp4")
    assert (read_video("drawn.mp4")[0] - read_video("clip.mp4")[0]).abs().max() > 0.3
    run("draw-boxes", "clip.mp4", "--track", "bbox.txt", "--phrase", "cup", "--photo", "photo.png", "--out", "b.mp4")
    assert (files / "b.mp4").read_bytes() == (files / "drawn.mp4").read_bytes()


def test_the_layout_of_the_released_evaluation(files, capsys):
    two = Track.joined([TRACK, Track((Thing("pan", (Keyframe(0, None), Keyframe(1, START))),))])
    write_track(two, "two.json")
    run(
        "draw-boxes",
        "clip.mp4",
        "--track",
        "two.json",
        "--released",
        "out/all",
        "--truth",
        "clip.mp4",
        "--prompt",
        "go",
    )
    assert "left out" not in capsys.readouterr().out
    kinds = [f"{name}_{kind}" for name in ("pred", "gt") for kind in ("img", "box_img")]
    pictures = {f"{kind}/{kind}_{frame}.png" for kind in kinds for frame in range(3)}
    clips = {"pred_video.gif", "gt_video.gif", "boxes_pred.gif", "boxes_gt.gif"}
    out, boxes = files / "out/all", {f"box_{frame}.txt" for frame in range(3)}
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == pictures | clips | boxes | {"prompt.txt"}
    assert (files / "out/all/box_0.txt").read_text() == "0.1,0.25,0.3,0.5\n0,0,0,0\n"
    assert (files / "out/all/box_2.txt").read_text() == "0.6,0.25,0.8,0.5\n0.1,0.25,0.3,0.5\n"
    assert load_image("out/all/gt_img/gt_img_2.png").shape == (48, 80, 3)
    write_video(read_video("clip.mp4")[0], "quick.mp4", 60)
    run("draw-boxes", "quick.mp4", "--track", "two.json", "--released", "out/few")
    assert "left out, as --truth or --prompt is not given: gt_video.gif" in capsys.readouterr().out
    assert not list((files / "out/few").glob("*gt*")) and not (files / "out/few/prompt.txt").exists()


def test_scores_of_boxes_that_were_found(files, capsys):
    halves = Track((Thing("cup", (Keyframe(0, START), Keyframe(1, (0.6, 0.25, 0.8, 0.375))), "linear"),))
    write_track(halves, "found.json")
    run("score-boxes", "clip.mp4", "--found", "found.json", "--photo", "photo.png")
    said = capsys.readouterr().out
    # 0.75 of the box in the middle frame and 0.5 in the last; neither is above its bound
    assert "clip.mp4: cup: AO 0.625, SR50 0.500, SR75 0.000 (2 boxes)" in said
    assert "first frame beside the photo: PSNR" in said and "boxes found by: found.json" in said and "all:" not in said


def test_scores_of_boxes_that_are_followed(files, capsys):
    write_video(read_video("clip.mp4")[0][:1].expand(3, -1, -1, -1), "still.mp4", 8)
    write_track(Track((Thing("cup", (Keyframe(0, START),)), Thing("pan", (Keyframe(0, GOAL),)))), "still.track.json")
    run("score-boxes", "still.mp4", "clip.mp4")
    said = capsys.readouterr().out
    assert "still.mp4: all: AO 1.000, SR50 1.000, SR75 1.000 (4 boxes)" in said and "clip.mp4: cup: AO" in said
    assert "boxes found by: median flow" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("track", "--boxes", "bbox.txt"), "nothing to write"),
        (("track", "--out", "t.json"), "one of the arguments"),
        (("track", "--boxes", "bbox.txt", "--masks", ".", "--out", "t.json"), "not allowed with"),
        (("track", "--boxes", "bbox.txt", "--out", "t.txt"), "end it in .json"),
        (("track", "--boxes", "bbox.txt", "--phrase", "cup", "--out", "t.json"), "give the photo"),
        (("track", "--boxes", "clip.track.json", "--region", "r.png"), "give --photo"),
        (("track", "--masks", ".", "--out", "t.json"), "give --phrase"),
        (("track", "--boxes", "bbox.txt", "--phrase", "\ud800", "--out", "t.json"), "U+D800"),
        (("draw-boxes", "clip.mp4", "--track", "clip.track.json", "--released", "o", "--prompt", "\ud800"), "U+D800"),
        (("track", "--masks", "none", "--phrase", "cup", "--out", "t.json"), "cannot be looked into"),
        (("track", "--hands", "clip.mp4", "--out", "t.json"), "No hand is seen"),
        (("draw-boxes", "clip.mp4", "--track", "clip.track.json"), "nothing to write"),
        (("score-boxes", "photo.png", "--track", "clip.track.json"), "a single frame"),
        (("score-boxes", "none.mp4"), "none.track.json cannot be read"),
        (("score-boxes", "clip.mp4", "clip.mp4", "--found", "clip.track.json"), "of one clip"),
        (("score-boxes", "clip.mp4", "--found", "pan.json"), 'holds no "cup" but pan'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_sentence(files, capsys, words, says):
    write_track(Track((Thing("pan", (Keyframe(0, START),)),)), "pan.json")
    run(*words, status=2)
    assert says in capsys.readouterr().err
