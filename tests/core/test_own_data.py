"""A data set of the user's own: any map-style one is trained on, and a wrong item is told in one sentence."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from training_clips import clip, small

from ivg_core.errors import IVGError
from ivg_core.training.batches import ClipDataset, InBuckets, ListDataset, OrderedClips, as_clips, collate
from ivg_core.training.data.encoder import ModelEncoder
from ivg_core.training.sample import check_sample
from ivg_core.training.trainer import train


class Mine(Dataset):
    """As a researcher writes one: items by number, and nothing of batches."""

    def __init__(self, items):
        self.items, self.asked = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.items[index]


class Stream(IterableDataset):
    def __iter__(self):
        return iter([clip(0)])


@pytest.mark.parametrize("stage", [1, 2])
def test_items_are_made_by_the_encoder(tiny_model, tmp_path, stage):
    frames, masks = torch.rand(3, 64, 64, 3), (torch.rand(3, 64, 64) > 0.5).float()
    encoder = ModelEncoder(tiny_model, stage)
    made = encoder.sample(frames, "stir the soup", frame_masks=masks)
    assert torch.equal(made["latents"], encoder.codec.encode(frames)) and torch.equal(made["rom_mask"], masks.amax(0))
    assert made["frames"].dtype == torch.uint8 and ("mask_latents" in made) == (stage == 1)
    losses = {"noise": 1, "miou": 0.1} if stage == 1 else {"noise": 1, "motion": 0.001}
    done = train(small(tmp_path, stage=stage, steps=1, losses=losses), tiny_model, Mine([made]))
    assert done.finished
    whole = ModelEncoder(tiny_model, 2).sample(frames, "stir")
    assert whole["rom_mask"].all() and "frame_masks" not in whole
    with pytest.raises(IVGError, match="Stage 1 learns the masks"):
        ModelEncoder(tiny_model, 1).sample(frames, "stir")
    with pytest.raises(IVGError, match="no multiple of"):
        encoder.sample(frames[:, :, :60], "stir", frame_masks=masks[:, :, :60])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_data_set_of_torch_is_trained_on_as_ours_is(tiny_model, tmp_path, batch_size):
    items = [clip(seed) for seed in range(5)]
    made = [
        train(small(tmp_path / name, batch_size=batch_size), tiny_model, data, data)
        for name, data in {"torch": Mine(items), "list": items, "ours": ListDataset(items)}.items()
    ]
    for other in made[:2]:
        for name, (up, _) in made[2].lora.layers.items():
            assert torch.equal(other.lora.layers[name][0], up)
        assert other.history[-1]["heldout"] == made[2].history[-1]["heldout"]


def test_clips_of_one_size_come_together_and_are_looked_at_only_if_need_be():
    items = [clip(0), clip(1, size=(16, 24)), clip(2), clip(3, size=(16, 24))]
    data = Mine(items)
    buckets = as_clips(data)
    assert isinstance(buckets, InBuckets) and data.asked == [0]
    assert sorted(buckets.batches(1, 0, 0)) == [[0], [1], [2], [3]] and data.asked == [0]
    assert sorted(map(sorted, buckets.batches(2, 0, 0))) == [[0, 2], [1, 3]]
    assert buckets.batches(2, 0, 1) == ListDataset(items).batches(2, 0, 1)
    assert sorted(data.asked) == [0, 0, 1, 2, 3]


def test_one_that_says_its_batches_is_asked():
    class Ordered(Mine):
        def batches(self, batch_size, seed, epoch):
            return [[1], [0]]

    data = Ordered([clip(0), clip(1)])
    assert as_clips(data) is data and isinstance(data, OrderedClips)
    assert isinstance(Mine([]), ClipDataset) and not isinstance(Mine([]), OrderedClips)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: Stream(), "The data is a Stream, which has no length or no items by number: give a map-style"),
        (lambda: DataLoader(Mine([clip(0)])), "The data is a DataLoader"),
        (lambda: None, "The data is a NoneType"),
        (lambda: (clip(k) for k in range(2)), "The data is a generator"),
        (lambda: [], "There is no clip to train on"),
    ],
)
def test_what_is_no_data_set_is_said(tiny_model, tmp_path, data, said):
    with pytest.raises(IVGError, match=said):
        train(small(tmp_path), tiny_model, data())


def test_an_empty_one_to_measure_with_is_said(tiny_model, tmp_path):
    with pytest.raises(IVGError, match="There is no clip to measure with"):
        train(small(tmp_path), tiny_model, [clip(0)], [])


def without(*keys):
    return lambda: {key: value for key, value in clip(0).items() if key not in keys}


def with_(**values):
    return lambda: {**clip(0), **values}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (lambda: (clip(0)["latents"], "cut"), r"Item 0 of the data is a tuple: give a dict as ivg_core\.Sample"),
        (without("name"), "Item 0 of the data has no name: give a text"),
        (without("caption"), "The clip clip 0 has no caption: give a text"),
        (with_(caption=3), "has a int as caption"),
        (without("latents"), r"latents is missing, but a tensor \(C, T, h, w\) belongs there"),
        (with_(latents=[1]), "latents came as list, but a tensor"),
        (with_(latents=torch.ones(1, 4, 2, 16, 16)), r"latents has shape \(1, 4, 2, 16, 16\), but a tensor"),
        (with_(latents=torch.ones(4, 2, 16, 16, dtype=torch.int64)), r"latents came as torch\.int64: give floats"),
        (with_(rom_mask=torch.ones(1, 128, 128)), r"rom_mask has shape \(1, 128, 128\), but a tensor \(H, W\)"),
        (with_(frames=torch.ones(2, 128, 128, 3)), r"frames came as torch\.float32: give bytes"),
        (
            with_(frames=torch.ones(2, 3, 128, 128, dtype=torch.uint8)),
            r"frames has shape \(2, 3, 128, 128\), but a tensor \(F, H, W, 3\)",
        ),
        (with_(text=torch.ones(1, 77, 32)), r"text has shape \(1, 77, 32\), but a tensor \(tokens, D\)"),
        (without("text", "empty_text"), "has no text states: give text, of its caption, and empty_text"),
        (without("empty_text"), "has no text states"),
        (with_(text=torch.ones(77, 16)), "text has 16 values a token, and the network of tiny_ckpt takes 32"),
        (with_(latents=torch.ones(3, 2, 16, 16)), "latents has 3 channels, and the network of tiny_ckpt takes 4"),
        (without("rom_mask"), "comes without rom_mask, which stage 2 is conditioned on"),
    ],
)
def test_a_wrong_item_is_one_sentence(tiny_model, tmp_path, item, said):
    with pytest.raises(IVGError, match=said) as error:
        train(small(tmp_path), tiny_model, Mine([item()]))
    assert "\n" not in str(error.value)


def test_a_wrong_item_that_comes_later_is_named_too(tiny_model, tmp_path):
    data = Mine([clip(0), with_(name="bad.mp4", rom_mask=torch.ones(1, 128, 128))()])
    for batch_size in (1, 2):
        with pytest.raises(IVGError, match=r"The clip bad\.mp4: rom_mask has shape"):
            train(small(tmp_path / str(batch_size), batch_size=batch_size), tiny_model, data)


def test_what_is_right_passes():
    full = clip(0) | {
        "frames": torch.zeros(2, 128, 128, 3, dtype=torch.uint8),
        "boxes": torch.zeros(2, 3, 5),
        "photo": torch.zeros(4, 1, 16, 16),
        "phrases": torch.zeros(3, 32),
        "things": ["cup"],
        "begins": 0,
    }
    assert check_sample(full) is full
    assert collate([full])["latents"].shape == (1, 4, 2, 16, 16)
