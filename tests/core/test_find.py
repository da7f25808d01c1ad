"""A region from hands, things and a draft together, in the library, on the command line and in batches."""

import pytest
import torch
from drawn_arms import drawn_arm

from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.motion import mask_iou
from ivg_core.media.images import load_image, load_mask, save_png
from ivg_core.media.video import write_video
from ivg_core.rom.draft import read_draft
from ivg_core.rom.find import find_rom, hands_drawn, hands_in
from ivg_core.synthetic.clips import Scene

SIZE = (320, 212)
#: A scene in whose photo the tracker sees a hand.
SEED = 900_009


@pytest.fixture(scope="module")
def drawn():
    """A drawn clip, 16 frames, with hands in its photo: frames and the exact region."""
    scene = Scene(SEED, *SIZE)
    clip = scene.clip(scene.tasks[0], 16)
    return torch.from_numpy(clip.frames).float() / 255, torch.from_numpy(clip.rom_mask).float()


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory):
    """The photo, the clip as a draft, the mask of a thing, and a photo without hands, as files."""
    folder = tmp_path_factory.mktemp("real")
    frames, _ = drawn
    save_png(frames[0], folder / "photo.png")
    save_png(torch.full((212, 320, 3), 0.5), folder / "empty.png")
    thing = torch.zeros(212, 320)
    thing[150:180, 30:60] = 1
    save_png(thing, folder / "thing.png")
    save_png(torch.zeros(212, 320), folder / "nothing.png")
    write_video(frames, folder / "draft.mp4", 8)
    return folder


def region_of(folder, *options):
    assert main(["find-rom", "--out", str(folder / "mask.png"), *map(str, options)]) == 0
    return load_mask(folder / "mask.png")


def test_each_kind_of_evidence_works_alone_and_adds_to_the_others(drawn):
    frames, truth = drawn
    photo, hands, thing = frames[0], hands_in(frames[0]), torch.zeros(212, 320)
    thing[150:180, 30:60] = 1
    assert hands.any()
    alone, with_thing = find_rom(photo, hands), find_rom(photo, hands, [thing])
    assert alone.report.startswith("Made from the hands of the photo.")
    assert with_thing.report.startswith("Made from the hands and 1 thing of the photo.")
    assert (alone.mask >= hands).all() and (with_thing.mask >= torch.maximum(hands, thing)).all()
    assert torch.equal(with_thing.near, torch.maximum(hands, thing))
    by_draft = find_rom(photo, hands, draft=frames)
    assert mask_iou(by_draft.mask, truth) > mask_iou(alone.mask, truth)
    assert by_draft.frame_masks.shape == frames.shape[:3] and "of the draft moves" in by_draft.report
    assert find_rom(photo, draft=frames).mask.any()


def test_hands_alone_grow_by_a_tenth_of_the_width_and_things_by_less(drawn):
    photo, mask = drawn[0][0], torch.zeros(212, 320)
    mask[100:110, 150:160] = 1
    regions = [find_rom(photo, mask), find_rom(photo, things=[mask]), find_rom(photo, mask, grow=0.2)]
    assert [150 - int(region.mask[105].nonzero().min()) for region in regions] == [32, 16, 64]


def test_black_masks_are_told_and_an_empty_batch_is_no_error(drawn):
    photo, hands = drawn[0][0], torch.zeros(212, 320)
    hands[100:140, 150:190] = 1
    assert "1 mask is black and left out" in find_rom(photo, hands, [torch.zeros(212, 320)]).report
    assert torch.equal(find_rom(photo, hands, torch.zeros(0, 212, 320)).mask, find_rom(photo, hands).mask)
    half = find_rom(photo, hands[::2, ::2], [hands[::2, ::2]])  # a segmenter may work at another size
    assert mask_iou(half.near, hands) > 0.95


def test_the_report_says_what_counts_as_big(drawn):
    photo, hands, table = drawn[0][0], torch.zeros(212, 320), torch.zeros(212, 320)
    hands[100:140, 150:190] = 1
    table[:, 220:] = 1  # 31 %
    assert "more than 20% of the photo counts only near the hands" in find_rom(photo, hands, [table]).report
    assert "counts only near" not in find_rom(photo, hands, [table], big=0.5).report


def test_nothing_to_go_by_is_one_sentence(drawn):
    with pytest.raises(IVGError, match="No hand was found in the photo"):
        find_rom(drawn[0][0], torch.zeros(212, 320), torch.zeros(0, 212, 320))


def test_forearms_are_those_of_the_photo():
    photo, joints, arm = drawn_arm()
    alone, with_arm = hands_drawn([joints], photo), hands_drawn([joints], photo, arms=True)
    assert not (alone * arm)[-1].any() and (with_arm * arm)[-1].any()
    assert torch.equal(hands_drawn([joints], torch.full_like(photo, 0.5), arms=True), alone)


def test_a_photo_alone_gives_the_hands_outline(folder, capsys):
    mask = region_of(folder, "--image", folder / "photo.png")
    photo = load_image(folder / "photo.png")
    assert torch.equal(mask, find_rom(photo, hands_in(photo)).mask)
    assert "Made from the hands of the photo." in capsys.readouterr().out


def test_things_a_draft_and_a_sentence(folder, capsys):
    mask = region_of(
        folder, "--image", folder / "photo.png", "--things", folder / "thing.png", folder / "nothing.png", "--video",
        folder / "draft.mp4", "--prompt", "cut the carrot", "--shape", "none", "--grow", 0, "--preview",
        folder / "look.png",
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "1 thing of the photo. 1 mask is black" in said and "names carrot; 2 masks" in said
    assert (mask >= load_mask(folder / "thing.png")).all()
    assert load_image(folder / "look.png").shape == (212, 320, 3)
    assert read_draft(folder / "draft.mp4").shape == (16, 212, 320, 3)


def test_a_photo_without_hands_ends_in_a_sentence(folder, capsys):
    assert main(["find-rom", "--image", str(folder / "empty.png"), "--out", str(folder / "no.png")]) == 2
    assert "error: No hand was found" in capsys.readouterr().err and not (folder / "no.png").exists()


def test_a_batch_finds_the_region_of_each_photo(folder, tmp_path):
    (tmp_path / "table.csv").write_text(f"image,prompt\n{folder}/photo.png,stir\n{folder}/empty.png,stir\n")
    options = ["--steps", "1", "--frames", "2", "--fallback", "find"]
    assert main(["batch", "--table", str(tmp_path / "table.csv"), "--out", str(tmp_path / "out"), *options]) in (
        0,
        1,
        2,
    )
    (mask,) = (tmp_path / "out").glob("photo*_mask.png")
    assert 0 < load_mask(mask).mean() < 0.6
    assert "No hand was found" in (tmp_path / "out" / "results.jsonl").read_text()
