"""The paper's pipeline from the public names alone: data, training, LoRAs, masks, videos, measuring."""

import json

import pytest
import torch
from metric_clips import SCENES, write_folders
from training_clips import clips_on_disk

import ivg_core as ivg

FEW = {"frames": 2, "width": 64, "height": 64, "buckets": False, "masks": "white", "heldout": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, golden):
    """A training of three steps, and its folder."""
    root = tmp_path_factory.mktemp("work")
    model = ivg.load_model(golden / "tiny_ckpt")
    settings = ivg.DataSettings(source=str(clips_on_disk(root / "clips")), **FEW)
    config = ivg.TrainConfig(
        out=str(root / "run"),
        steps=3,
        warmup=0,
        learning_rate=1e-2,
        device="cpu",
        lora={"spatial": ivg.LoRASettings(rank=2)},
        validation=ivg.ValidationSettings(every=1, draws=1),
    )
    assert len(ivg.survey(settings, model, config.stage).clips) == 3
    data = ivg.load_data(settings, model, config.stage, root / "cache", pixels=config.needs_pixels)
    return model, ivg.train(config, model, data.train, data.heldout), root


def test_clips_become_a_lora_that_changes_videos_and_is_merged_and_joined(trained, tmp_path):
    model, done, _ = trained
    assert done.finished and done.step == 3 and "heldout" in done.history[-1]
    photo = torch.rand(128, 128, 3, generator=torch.Generator().manual_seed(0))
    how = ivg.Sampling(num_inference_steps=1, keep_first_frame=False, composite=False)
    # below 16 x 16 latent cells the deepest level is a single cell, where group norms blow up rounding errors
    made = {"num_frames": 2, "size": (128, 128), "seed": 0, "how": how}
    plain = ivg.generate(model, photo, "stir", **made).frames
    changed = ivg.generate(ivg.add_loras(model, [(done.path, 1.0)]), photo, "stir", **made).frames
    assert not torch.equal(plain, changed)

    merged = ivg.load_model(ivg.save_folder(ivg.model_with_lora(model, done.lora), tmp_path / "merged"))
    assert torch.allclose(ivg.generate(merged, photo, "stir", **made).frames, changed, atol=1e-5)
    lora = ivg.read_lora_for(model, done.path)
    twice = ivg.combine_loras([lora, lora], [0.5, 0.5])
    nearest = ivg.reduce_rank(twice, 2)
    assert nearest.error < 1e-3
    again = ivg.read_lora_for(model, ivg.save_lora(nearest.lora, tmp_path / "both.safetensors"))
    both = ivg.generate(ivg.model_with_lora(model, again), photo, "stir", **made).frames
    assert torch.allclose(both, changed, atol=1e-3)
    with pytest.raises(ivg.IVGError, match="rank is 0"):
        ivg.reduce_rank(lora, 0)


def test_presets_and_settings_are_read(trained, tmp_path):
    for name in ivg.presets():
        assert ivg.read_config(name).all_paths()
    config = ivg.read_config("stage2-lora-hands", {"out": str(tmp_path)}, [("steps", "7")])
    assert config.steps == 7 and isinstance(config, ivg.TrainConfig)


def test_clips_become_masks_and_methods_are_measured(tmp_path):
    true, tracker = write_folders(tmp_path) / "truth", ivg.HandTracker()
    reports = ivg.annotate_folder(true, tmp_path / "found", tracker, evidence="motion", min_hand_frames=0)
    assert {report.outcome for report in reports} == {"mask"} and len(reports) == len(SCENES)
    frames, fps = ivg.read_video(true / "pan.mp4")
    whole = ivg.annotate_clip(frames, tracker, evidence="motion", min_hand_frames=0)
    assert torch.equal(whole.mask, ivg.load_mask(tmp_path / "found" / "pan.png")) and fps == 8
    assert ivg.score_hands(frames, tracker).frames == len(frames)

    methods = {name: ivg.pair_clips(tmp_path / name, truth=true) for name in ("copied", "wrong")}
    result = ivg.evaluate_methods(methods)
    ivg.write_report(result, tmp_path / "report")
    page = ivg.write_page(result, tmp_path / "report")
    table = json.loads((tmp_path / "report" / "results.json").read_text())["table"]["all clips"]
    assert table["copied"]["ssim"]["value"] > table["wrong"]["ssim"]["value"] and page.is_file()


def test_a_region_of_a_real_photo_is_found():
    photo = torch.rand(64, 96, 3, generator=torch.Generator().manual_seed(0))
    thing = torch.zeros(64, 96)
    thing[20:40, 30:60] = 1
    found = ivg.find_rom(photo, ivg.hands_in(photo), [thing])
    assert found.mask[20:40, 30:60].all() and found.mask.mean() < 0.9 and "1 thing" in found.report
