"""Tables as spreadsheets, editors and people make them: read as meant, or one sentence that names the row."""

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ivg_core.batch import table as tables
from ivg_core.batch.table import Item, read_seeds, read_table, write_table
from ivg_core.errors import IVGError
from ivg_core.media.files import PICTURES

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(64)


@pytest.fixture
def photos(tmp_path):
    for name in ("a", "b", "c"):
        Image.new("RGB", (16, 8), "orange").save(tmp_path / f"{name}.png")
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (16, 8)).save(tmp_path / "sub" / "d.png")
    return tmp_path


def read(folder, name: str, content: str | bytes, **options):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(folder / name, **options)


ROW = ("a.png", "stir; the pan", 3)


@pytest.mark.parametrize(
    "text",
    [
        'image,prompt,seed,\na.png,"stir; the pan",3,\n',
        "image,prompt,seed,,\r\na.png,stir; the pan,3,,\r\n,,,,\r\n",
        'sep=;\nimage;prompt;seed\na.png;"stir; the pan";3\n',
        '"sep=,"\r\nimage,prompt,seed\r\na.png,stir; the pan,3\r\n',
        "image\tprompt\tseed\na.png\tstir; the pan\t3.0\n",
        'image, prompt, seed\na.png, "stir; the pan", 3.00\n',
        "image,prompt,,seed\na.png,stir; the pan,,3\n",
        "source,image,prompt,seed\na.png,,stir; the pan,3\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_what_spreadsheets_write_is_read(photos, text, encoding):
    assert read(photos, "t.csv", text.encode(encoding)) == [Item(photos / ROW[0], *ROW[1:])]


def test_letters_of_an_ansi_table_are_read(photos):
    (item,) = read(photos, "t.csv", "image,prompt\na.png,sauté the leek…\n".encode("cp1252"))
    assert item.prompt == "sauté the leek…"


def test_a_cell_may_hold_lines_and_quotes(photos):
    (item,) = read(photos, "t.csv", 'image,prompt\r\na.png,"stir, the ""big"" pan\r\nslowly"\r\n')
    assert item.prompt == 'stir, the "big" pan\nslowly'


def test_windows_folders_are_found(photos):
    named = read(photos, "t.csv", "image,prompt,mask\nsub\\d.png,stir,sub\\d.png\n")
    assert named == [Item(photos / "sub" / "d.png", "stir", 0, photos / "sub" / "d.png")]
    Image.new("RGB", (16, 8)).save(photos / "back\\slash.png")
    (odd,) = read(photos, "t.csv", "image,prompt\nback\\slash.png,stir\n")
    assert odd.image.is_file()


@pytest.mark.parametrize(
    ("name", "row", "sentence"),
    [
        ("t.csv", "a.png,stir the pan, then plate it,3,", "more cells than columns: put quotes around a prompt"),
        ("t.csv", ",stir,3,", "names no photo"),
        ("t.csv", "a.png,,3,", "has no prompt"),
        ("t.csv", "a.png,stir,many,", "'many' is no list of seeds"),
        ("t.csv", "a.png,stir,9-1,", "they count up"),
        ("t.csv", "a.png,stir,1-1000000000,", r"more than 100,000 seeds"),
        ("t.csv", f"a.png,stir,{2**64},", "no seeds"),
        ("t.csv", f"a.png,stir,{'9' * 5000},", "is no list of seeds"),
        ("t.json", {"image": "a.png", "prompts": "0: chop | 9: stir | 5: fry"}, "Line 3 of the prompt schedule begins"),
        ("t.json", {"image": "a.png", "prompts": "chop, then stir"}, "Line 1 of the prompt schedule is 'chop, then"),
        ("t.json", {"image": "a.png", "prompt": "fry", "prompts": "0: stir"}, "has both prompt and prompts"),
        ("t.json", {"image": "a.png", "prompts": ["0: chop", "9: stir"]}, "has 2 values as prompts"),
        ("t.json", {"image": "a.png", "prompt": 3}, "prompt is '3', which is no text"),
        ("t.json", {"image": "a.png", "prompt": {"en": "stir"}}, "which is no text"),
        ("t.json", {"image": "a.png", "prompt": [["stir"]]}, "which is no text"),
        ("t.json", {"image": "a.png", "prompt": None}, "has no prompt"),
        ("t.json", {"image": "b" * 300 + ".png", "prompt": "stir"}, "is too long for a name"),
        ("t.json", {"image": "~nobody-here/a.png", "prompt": "stir"}, "a user whom this system does not know"),
        ("t.json", {"image": "a.png", "mask": "m" * 300, "prompt": "stir"}, "is too long for a name"),
        ("t.json", {"image": "a\0.png", "prompt": "stir"}, "image holds what is no letter"),
        ("t.json", {"image": "a.png", "prompt": "stir \ud800"}, r"what is no letter \(U\+D800\)"),
        ("t.json", {"image": 4, "prompt": "stir"}, "image is '4', which is no text"),
        ("t.json", {"image": "a.png", "source": "b.png", "prompt": "stir"}, "both image and source"),
        ("t.json", {"image": "a.png", "prompt": "stir", "seed": 1.5}, "'1.5' is no list of seeds"),
        ("t.json", {"image": "a.png", "prompt": "stir", "seed": -1}, "'-1' is no list of seeds"),
        ("t.json", {"image": "a.png", "prompt": "stir", "seed": float("nan")}, "'nan' is no list of seeds"),
        ("t.json", {"image": "a.png", "prompt": "stir", "sed": 1}, "has a column 'sed'"),
        ("t.json", ["a.png", "stir"], "is not an object"),
        ("prompt.json", '{"source": "a.png", "prompt": ', "is not JSON"),
    ],
)
def test_a_faulty_row_is_named_and_fails_alone(photos, name, row, sentence):
    if name == "t.csv":
        where, content = "row 3", f"image,prompt,seed,\nb.png,chop,1,\n{row}\nc.png,chop,1,\n"
    elif name == "t.json":
        good = {"image": "b.png", "prompt": "chop", "seed": 1}
        where, content = "entry 2", json.dumps([good, row, {**good, "image": "c.png"}])
    else:
        where, content = "line 2", '{"source": "b.png", "prompt": "chop", "seed": 1}\n' + row + "\n"
        content += '{"source": "c.png", "prompt": "chop", "seed": 1}\n'
    with pytest.raises(IVGError, match=f"{where}.*{sentence}") as error:
        read(photos, name, content)
    assert "\n" not in str(error.value)
    items = read_table(photos / name, keep_faulty=True)
    assert [item.image.name for item in items if not item.fault] == ["b.png", "c.png"]
    (bad,) = [item for item in items if item.fault]
    assert where in bad.fault and bad.name not in {item.name for item in items if not item.fault}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", 'image,prompt\na.png,"stir\nb.png,chop\n', "line 3, cannot be read"),
        ("t.csv", "image,prompt\na.png,sti\0r\n", r"t\.csv holds what is no letter"),
        ("t.csv", "", "holds no photos"),
        ("t.json", '[{"image": "a.png", "prompt": "stir"},]', r"t\.json is not JSON"),
        ("t.json", "[" * 100_000, "t.json"),
        ("t.csv", "image,prompt\n" + "a.png,stir\n" * 2 + f"b.png,{'x' * 200_000}\n", "line 4, cannot be read"),
    ],
)
def test_a_table_that_is_damaged_as_a_whole_is_one_sentence(photos, name, content, sentence):
    with pytest.raises(IVGError, match=sentence):
        read(photos, name, content, keep_faulty=True)


@pytest.mark.parametrize("name", ["gone.csv", "a\0.csv", "a" * 300, "~nobody-here/t.csv"])
def test_a_table_that_cannot_be_is_one_sentence(photos, name):
    with pytest.raises(IVGError, match=r"no table or folder|null character|too long|does not know") as error:
        read_table(f"{photos}/{name}" if name[0] != "~" else name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("image", ["gone.png", "b" * 250 + ".png", "sub"])
def test_a_photo_that_cannot_be_is_an_item_that_fails_later(photos, image):
    row = {"image": image, "prompt": "stir"}
    odd, good = read(photos, "t.json", json.dumps([row, {**row, "image": "a.png"}]) + " ", mask_folder=photos)
    assert len(odd.key) == len(good.key) == 10 and good.mask == photos / "a.png"


def test_too_many_videos_are_refused_before_they_fill_the_memory(photos, monkeypatch):
    many = ", ".join(["0-99999"] * 2)
    with pytest.raises(IVGError, match="more than 100,000 seeds"):
        read_seeds(many)
    row = {"image": ["a.png"] * 1000, "prompt": ["stir"] * 1000, "seed": "0-999"}
    with pytest.raises(IVGError, match="entry 1 asks for 1,000,000,000 videos"):
        read(photos, "t.json", json.dumps([row]))
    monkeypatch.setattr(tables, "MOST_VIDEOS", 5)
    with pytest.raises(IVGError, match="asks for more than 5 videos"):
        read_table(photos, prompts=["stir"], seeds=[1, 2])


def test_names_that_begin_with_a_dot_are_left_aside(photos):
    (photos / "._a.png").write_bytes(APPLE_DOUBLE)
    (photos / "._a.txt").write_bytes(APPLE_DOUBLE)
    assert [item.image.name for item in read_table(photos, prompts=["stir"])] == ["a.png", "b.png", "c.png"]


def test_every_kind_of_picture_is_taken_and_what_is_left_is_named_once(photos, caplog):
    for name, kind in (("d.tif", "TIFF"), ("e.jfif", "JPEG"), ("f.avif", "AVIF"), ("g.TIFF", "TIFF")):
        if (photos / name).suffix.lower() in PICTURES:
            Image.new("RGB", (16, 8)).save(photos / name, format=kind)
    (photos / "h.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    for stem in "dehi":
        (photos / f"{stem}.txt").write_text("chop")
    with caplog.at_level(logging.WARNING, "ivg"):
        found = {item.image.name: item.prompt for item in read_table(photos, prompts=["stir"])}
    assert found.keys() >= {"a.png", "d.tif", "e.jfif", "g.TIFF"} and found["d.tif"] == found["e.jfif"] == "chop"
    assert ("f.avif" in found) == (".avif" in PICTURES)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "left out are pictures of a kind that cannot be read here: h.heic.",
        "left out are prompts without a photo: i.txt.",
    ]


def test_a_prompt_file_that_is_no_text_spoils_its_own_photo_only(photos):
    (photos / "a.txt").write_bytes("sauté the leek\r\nchop it\r\n".encode("cp1252"))
    (photos / "b.txt").write_bytes(b"\x89PNG\0")
    items = read_table(photos, prompts=["stir"], keep_faulty=True)
    assert [(item.image.name, item.prompt) for item in items] == [
        ("a.png", "sauté the leek"),
        ("a.png", "chop it"),
        ("b.png", ""),
        ("c.png", "stir"),
    ]
    assert [str(photos / "b.txt") in item.fault for item in items] == [False, False, True, False]


@pytest.mark.parametrize(
    "stem", ["a" * 251, "é" * 125, "持" * 83, "😀" * 62, "line\nbreak", b"\xff\xfe".decode(errors="surrogateescape")]
)
def test_results_have_names_that_every_disk_takes(tmp_path, stem):
    name = Item(tmp_path / f"{stem}.png", "stir", 2**64 - 1).name
    assert name.isprintable() and len(name.encode()) <= 219
    assert name != Item(tmp_path / f"{stem}.png", "chop", 2**64 - 1).name
    (tmp_path / f"..{name}.01234567.plain.01234567.webm").touch()  # the longest while it is written


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["t.csv", "t.json", "a.txt"]),
    st.binary(max_size=80)
    | st.text('image,prompt;sed\n"[]{}:3a.png\\', max_size=60).map(str.encode)
    | st.text(max_size=30).map(lambda text: f"image,prompt\na.png,{text}\n".encode("utf-16", "surrogatepass")),
)
def test_any_bytes_give_items_of_text_or_one_sentence(tmp_path_factory, name, content):
    folder = tmp_path_factory.mktemp("any")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    (folder / name).write_bytes(content)
    try:
        items = read_table(folder if name == "a.txt" else folder / name, prompts=["stir"], keep_faulty=True)
    except IVGError as error:
        assert "\n" not in str(error).replace(repr("\n"), "")
        return
    for item in items:
        assert "\ufffd" not in item.prompt and item.prompt.encode().decode() == item.prompt
        assert item.fault or item.prompt.strip()


def test_a_name_that_is_no_text_is_not_written_into_a_table(tmp_path):
    odd = tmp_path / b"\xff.png".decode(errors="surrogateescape")
    with pytest.raises(IVGError, match="holds what is no letter"):
        write_table([Item(odd, "stir")], tmp_path / "t.csv")


def test_of_many_left_out_the_first_are_named(photos, caplog):
    for number in range(25):
        (photos / f"{number:02}.heic").touch()
    with caplog.at_level(logging.WARNING, "ivg"):
        read_table(photos, prompts=["stir"])
    assert caplog.text.count(".heic") == 20 and "19.heic, and 5 more." in caplog.text


def test_faulty_rows_of_one_photo_are_told_apart(photos):
    items = read(photos, "t.csv", "image,prompt,seed\na.png,,1\na.png,,2\na.png,stir,3\n", keep_faulty=True)
    assert len({item.name for item in items}) == 3
