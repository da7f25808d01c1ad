"""What a batch reads: folders, CSV, JSON and the released prompt.json become the same items."""

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ivg_core.batch.table import Item, read_seeds, read_table, write_table
from ivg_core.errors import IVGError


@pytest.fixture
def photos(tmp_path):
    """Three photos and masks for two of them."""
    for name, colour in (("carrot", "orange"), ("pan", "black"), ("cup", "white")):
        Image.new("RGB", (16, 8), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "masks").mkdir()
    for name in ("carrot", "pan"):
        Image.new("L", (16, 8), 255).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def test_a_folder_gives_every_photo_every_prompt_and_seed(photos):
    (photos / "pan.txt").write_text("stir the pan\n\nwipe the pan\n")
    items = read_table(photos, prompts=["hold it"], seeds=[0, 5], mask_folder=photos / "masks")
    found = [(item.image.stem, item.prompt, item.seed, item.mask and item.mask.stem) for item in items]
    assert found == [
        ("carrot", "hold it", 0, "carrot"),
        ("carrot", "hold it", 5, "carrot"),
        ("cup", "hold it", 0, None),
        ("cup", "hold it", 5, None),
        ("pan", "stir the pan", 0, "pan"),
        ("pan", "stir the pan", 5, "pan"),
        ("pan", "wipe the pan", 0, "pan"),
        ("pan", "wipe the pan", 5, "pan"),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "image,prompt,seed,mask\ncarrot.png,cut,3,masks/carrot.png\npan.png,stir,4,\n"),
        ("t.csv", "\ufeffImage;Action;Seed;Mask\r\ncarrot.png;cut;3;masks/carrot.png\r\n\r\npan.png;stir;4;\r\n"),
        (
            "t.json",
            '[{"image": "carrot.png", "prompt": "cut", "seed": 3, "mask": "masks/carrot.png"}, '
            '{"image": "pan.png", "prompt": "stir", "seed": 4, "mask": null}]',
        ),
        (
            "prompt.json",
            '{"source": "carrot.png", "target": "t/1.mp4", "prompt": "cut", "seed": 3, "mask": "masks/carrot.png"}\n'
            '{"source": "pan.png", "target": "t/2.mp4", "prompt": "stir", "seed": 4}\n',
        ),
    ],
)
def test_all_forms_say_the_same(photos, name, text):
    (photos / name).write_text(text, encoding="utf-8")
    carrot = Item(photos / "carrot.png", "cut", 3, photos / "masks" / "carrot.png")
    assert read_table(photos / name) == [carrot, Item(photos / "pan.png", "stir", 4)]


def test_lists_multiply(photos):
    (photos / "t.json").write_text(
        json.dumps({"image": ["carrot.png", "pan.png"], "prompt": ["hold", "wash", "dry"], "seed": ["0-3"]})
    )
    items = read_table(photos / "t.json", seeds=[99])
    assert len(items) == len({item.name for item in items}) == 2 * 3 * 4
    assert {item.seed for item in items} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "image,prompt,prompts,seed\ncarrot.png,,0: chop | 40: stir,2\npan.png,0: chop | 40: stir,,2\n"),
        ("t.csv", 'image;prompts;seed;prompt\ncarrot.png;"0:chop\n40: stir";2\npan.png;;2;0: chop | 40: stir\n'),
        (
            "t.json",
            '[{"image": "carrot.png", "prompts": "0: chop | 40: stir", "seed": 2}, '
            '{"image": "pan.png", "prompt": "0: chop | 40: stir", "seed": 2}]',
        ),
    ],
)
def test_a_row_may_hold_a_schedule_of_sentences(photos, name, text):
    (photos / name).write_text(text)
    several, one = read_table(photos / name, prompts=["hold"])
    assert several == Item(photos / "carrot.png", "0: chop | 40: stir", 2, scheduled=True)
    assert several.action.sentences == ["chop", "stir"] and one.action == one.prompt == "0: chop | 40: stir"
    assert Item(several.image, several.prompt, several.seed).key != several.key
    write_table([several, one], photos / "again.csv")
    assert read_table(photos / "again.csv") == [several, one]


def test_the_released_form(photos):
    elsewhere = photos / "lists"
    elsewhere.mkdir()
    (elsewhere / "prompt.json").write_text('{"source": "carrot.png", "target": "x.mp4", "prompt": "cut"}')
    (item,) = read_table(elsewhere / "prompt.json", image_folder=photos, mask_folder=photos / "masks")
    assert item == Item(photos / "carrot.png", "cut", 0, photos / "masks" / "carrot.png")


def test_an_item_asked_for_twice_is_made_once(photos, caplog):
    (photos / "t.csv").write_text("image,prompt\ncarrot.png,cut\npan.png,stir\ncarrot.png,cut\n")
    with caplog.at_level(logging.WARNING, "ivg"):
        assert len(read_table(photos / "t.csv")) == 2
    assert "row 4" in caplog.text and "row 2" in caplog.text


def test_an_item_keeps_its_name_where_it_goes_and_loses_it_when_it_changes(photos, tmp_path_factory):
    before = Item(photos / "carrot.png", "cut", 1, photos / "masks" / "carrot.png").name
    moved = tmp_path_factory.mktemp("moved")
    (moved / "carrot.png").write_bytes((photos / "carrot.png").read_bytes())
    (moved / "m.png").write_bytes((photos / "masks" / "carrot.png").read_bytes())
    assert Item(moved / "carrot.png", "cut", 1, moved / "m.png").name == before
    names = {
        before,
        Item(photos / "carrot.png", "cut", 2, photos / "masks" / "carrot.png").name,
        Item(photos / "carrot.png", "cut it", 1, photos / "masks" / "carrot.png").name,
        Item(photos / "carrot.png", "cut", 1).name,
    }
    Image.new("RGB", (16, 8), "red").save(photos / "carrot.png")
    names.add(Item(photos / "carrot.png", "cut", 1, photos / "masks" / "carrot.png").name)
    assert len(names) == 5


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("t.csv", "image,prompt,sed\ncarrot.png,cut,1\n", "sed"),
        ("t.csv", "image,prompt\n,cut\n", "row 2 names no photo"),
        ("t.csv", "image\ncarrot.png\n", "has no prompt"),
        ("t.csv", "image,prompt,seed\ncarrot.png,cut,many\n", "many"),
        ("t.csv", "image,prompt\n", "holds no photos"),
        ("t.json", '{"source": "a.png"', "line 1"),
        ("t.json", '{"source": "a.png", "prompt": "x"}\nnonsense\n', "line 2"),
        ("t.json", "[3]", "entry 1"),
        (
            "t.json",
            '{"image": ["a.png", "b.png", "c.png"], "prompt": "x", "mask": ["m.png", "n.png"]}',
            "2 masks for 3",
        ),
        ("t.txt", "carrot.png cut", "no table"),
    ],
)
def test_mistakes_are_named(photos, name, text, hint):
    (photos / name).write_text(text)
    with pytest.raises(IVGError, match=hint):
        read_table(photos / name)


@pytest.mark.parametrize("masks", [None, "nowhere"])
def test_missing_places_are_named(photos, masks):
    with pytest.raises(IVGError, match="nowhere"):
        read_table(photos if masks else photos / "nowhere", mask_folder=masks, prompts=["x"])


def test_a_missing_photo_does_not_spoil_the_table(photos):
    (photos / "t.csv").write_text("image,prompt\ngone.png,cut\npan.png,stir\n")
    items = read_table(photos / "t.csv")
    assert len(items) == 2 and items[0].key != items[1].key


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=5))
def test_seeds_read_ranges(ranges):
    text = ", ".join(f"{first}-{first + more}" if more else str(first) for first, more in ranges)
    assert read_seeds(text) == [seed for first, more in ranges for seed in range(first, first + more + 1)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20), min_size=1, max_size=4))
def test_a_written_table_reads_back(tmp_path_factory, prompts):
    folder = tmp_path_factory.mktemp("table")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    items = [Item(folder / "a.png", prompt, n) for n, prompt in enumerate(prompts)]
    write_table(items, folder / "t.csv")
    assert read_table(folder / "t.csv") == items
