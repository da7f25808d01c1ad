"""Prompts, captions, tables and lists, in every encoding and with everything that people write into them."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image

from ivg_core.batch.table import Item, read_seeds, read_table, write_table
from ivg_core.enrich.enrich import enrich_action
from ivg_core.enrich.things import named_things
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import Found, find_training_clips

from . import odd
from .case import Case, kind

SENTENCES = ("stir the pan", "sauté the leek", "schneide die Möhre", "crème brûlée", "a “good” knife")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le+bom", "utf-16-be+bom", "cp1252")


def encoded(text: str, encoding: str) -> bytes:
    """A text as bytes, with a BOM where the name says so."""
    if encoding.endswith("+bom"):
        return ("\ufeff" + text).encode(encoding.removesuffix("+bom"))
    return text.encode(encoding)


def photo_in(folder: Path, name: str = "a.png") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), "brown").save(path)
    return path


@kind("library", 60)
def captions_in_encodings(rng: random.Random, folder: Path) -> Case:
    """A caption arrives letter by letter, or its clip is rejected by name."""
    sentence, encoding = rng.choice(SENTENCES), rng.choice(ENCODINGS)
    (folder / "cut.txt").write_bytes(encoded(sentence + rng.choice(("", "\n", "\r\n")), encoding))
    (folder / "cut.mp4").write_bytes(b"not opened yet")

    def wrong(found: Found) -> str:
        said = [clip.caption for clip in found.clips]
        return "" if said == [sentence] or (not said and found.rejected) else f"{said} for {sentence!r}"

    settings = DataSettings(str(folder), masks="white")
    return Case(f"a caption {sentence!r} in {encoding}", lambda: find_training_clips(settings), wrong, good=True)


@kind("library", 60)
def prompts_in_encodings(rng: random.Random, folder: Path) -> Case:
    """The prompts beside a photo, in a table, in a list: letter by letter; an old 8-bit one may be refused."""
    sentence, encoding, form = rng.choice(SENTENCES), rng.choice(ENCODINGS), rng.choice(("txt", "csv", "json", "jsonl"))
    photo_in(folder)
    text = {
        "txt": sentence + "\r\n",
        "csv": f"image,prompt\r\na.png,{sentence}\r\n",
        "json": json.dumps([{"image": "a.png", "prompt": sentence}], ensure_ascii=False),
        "jsonl": json.dumps({"source": "a.png", "prompt": sentence}, ensure_ascii=False) + "\n",
    }[form]
    table = folder / ("a.txt" if form == "txt" else f"table.{form}")
    table.write_bytes(encoded(text, encoding))
    wrong = lambda items: "" if [item.prompt for item in items] == [sentence] else f"{[item.prompt for item in items]}"  # noqa: E731
    target = folder if form == "txt" else table
    return Case(
        f"a .{form} with {sentence!r} in {encoding}", lambda: read_table(target), wrong, good=encoding != "cp1252"
    )


@kind("library", 40)
def texts_that_are_no_texts(rng: random.Random, folder: Path) -> Case:
    """Bytes in place of a prompt or caption: never U+FFFD, never NUL in a training."""
    photo_in(folder)
    (folder / "a.mp4").write_bytes(b"x")
    content = rng.choice((
        rng.randbytes(80), b"", b"\0\0", b"stir\0the pan", b"\xff\xfe", b"\xef\xbb\xbf", b"\x80\x81\x8d",
            b"\x93stir\x94",
        "\ufffd".encode(), b"\xed\xa0\x80", "stir".encode("utf-32"), b"a" * 10**6, b"\x1b[31mstir",
    ))  # fmt: skip
    (folder / "a.txt").write_bytes(content)
    who = rng.choice(("caption", "prompt"))
    settings = DataSettings(str(folder), masks="white", caption="for all")
    reads = {
        "caption": lambda: find_training_clips(settings),
        "prompt": lambda: read_table(folder, prompts=["for all"]),
    }

    def wrong(found) -> str:
        said = [clip.caption for clip in found.clips] if who == "caption" else [item.prompt for item in found]
        odd_one = next((text for text in said if any(c in "\0\ufeff" for c in text)), None)
        return f"it is taken as {odd_one[:60]!r}" if odd_one else ""

    return Case(f"a {who} of {content[:40]!r}", reads[who], wrong)


#: Tables that are meant well: name -> (ending, text, videos that they ask for).
TABLES: dict[str, tuple[str, str, int]] = {
    "an empty last column": (".csv", "image,prompt,seed,\na.png,stir the pan,3,\n", 1),
    "two empty columns": (".csv", "image,,prompt,\na.png,,stir the pan,\n", 1),
    "sep=;": (".csv", "sep=;\nimage;prompt;seed\na.png;stir the pan;3\n", 1),
    "3.0 as seed": (".csv", "image,prompt,seed\na.png,stir the pan,3.0\n", 1),
    "3.0 as seed in JSON": (".json", '[{"image": "a.png", "prompt": "stir the pan", "seed": 3.0}]', 1),
    "a quoted line break": (".csv", 'image,prompt\na.png,"stir the pan\nslowly"\n', 1),
    "semicolons": (".csv", "image;prompt;seed\na.png;stir the pan;3\n", 1),
    "tabs": (".csv", "image\tprompt\tseed\na.png\tstir the pan\t3\n", 1),
    "capital names with spaces": (".csv", " Image , PROMPT \na.png,stir the pan\n", 1),
    "blank lines": (".csv", "image,prompt\n\n\na.png,stir the pan\n,,\n", 1),
    "old line ends": (".csv", "image,prompt\ra.png,stir the pan\r", 1),
    "backslashes": (".csv", "image,prompt\nphotos\\a.png,stir the pan\n", 1),
    "two prompts": (".json", '[{"image": "a.png", "prompt": ["stir the pan", "wash the pan"]}]', 2),
    "JSON lines": (
        ".json",
        '{"source": "a.png", "prompt": "stir the pan"}\n{"source": "a.png", "prompt": "wash"}\n',
        2,
    ),
    "JSON of one": (".json", '{"image": "a.png", "prompt": "stir the pan"}', 1),
}


@kind("library", 60)
def tables_of_spreadsheets(rng: random.Random, folder: Path) -> Case:
    """Harmless tables are read: as many videos as rows, with the photo that is meant."""
    name = rng.choice(list(TABLES))
    ending, text, count = TABLES[name]
    photo_in(folder)
    photo_in(folder / "photos")
    table = folder / f"table{ending}"
    table.write_text(text, encoding=rng.choice(("utf-8", "utf-8-sig")), newline="")

    def wrong(items: list[Item]) -> str:
        if len(items) != count:
            return f"{len(items)} videos for {count}"
        if not items[0].image.is_file():
            return f"the photo {items[0].image.name} is not found"
        return "" if "stir the pan" in items[0].prompt else f"the prompt is {items[0].prompt!r}"

    return Case(f"a table with {name}: {text[:60]!r}", lambda: read_table(table), wrong, good=name != "tabs")


CELLS = (
    {"a": 1}, [["stir"]], True, 3, 3.5, None, [], {}, "", " ", "=1+1", "#REF!", "0-99999999999", "9" * 400, "-1", "1e3",
    "0-9-12", "5-2", "½", "٣", "3.0", "18446744073709551616", "a.png", "../../etc/passwd", "~nobody/a.png", "a\0.png",
    "n" * 300 + ".png", "\ud800", "file.txt", "a.png;b.png", [None], ["a.png", 5], 1e400, float("nan"),
    "stir, then wash",
)  # fmt: skip
COLUMNS = ("image", "source", "prompt", "action", "seed", "mask", "target", "Seed", "fps", "", None)


@kind("library", 180)
def tables_with_odd_cells(rng: random.Random, folder: Path) -> Case:
    """One sentence, or videos with a text as prompt, a photo and a seed that a generator takes."""
    photo_in(folder)
    row = {"image": "a.png", "prompt": "stir the pan", "seed": 1}
    for _ in range(rng.choice((1, 1, 2))):
        row[rng.choice(COLUMNS)] = rng.choice(CELLS)  # type: ignore[index]
    form = rng.choice(("csv", "json", "jsonl", "broken"))
    if form == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, [str(key) for key in row])
        writer.writeheader()
        writer.writerow({str(key): value for key, value in row.items()})
        text = stream.getvalue()
        if rng.random() < 0.3:  # unquoted
            text = ",".join(map(str, row)) + "\n" + ",".join(map(str, row.values())) + ",more\n"
    else:
        text = json.dumps(row if form == "jsonl" else [row])
        if form == "broken":
            text = rng.choice((text[:-4], "[" * 100_000, text * 2, "[[]]", "null", "5", '"a"', "", "\n", "{" * 2000))
    table = folder / f"table.{'json' if form == 'broken' else form}"
    table.write_bytes(text.encode("utf-8", "surrogatepass"))

    def call():
        items = read_table(table, seeds=read_seeds(rng.choice(("0", "1-3"))))
        write_table(items, folder / "again.csv")
        return items, [item.name for item in items]

    def wrong(found) -> str:
        for item in found[0]:
            if not 0 <= item.seed < 2**64:
                return f"a seed of {item.seed}"
            if (form != "csv" and item.prompt.startswith(("{'", "[[", "['"))) or not item.prompt.strip():
                return f"a prompt that is no text: {item.prompt!r}"
        if len(found[0]) > 100_000:
            return f"{len(found[0])} videos"
        return ""

    return Case(f"a .{table.suffix[1:]} with {text[:160]!r}", call, wrong)


@kind("library", 60)
def seeds_as_people_write_them(rng: random.Random, folder: Path) -> Case:
    """Seeds of a list or a range, not more than anyone can use, each one that a generator takes."""
    text = rng.choice((
        "7", "0-3", "1, 5, 9", "", "-", "a", "3-", "-3", "5-2", "0-99999999999", "0-18446744073709551615", "1;2",
        "٣", "²",
        "1e3", "3.0", "nan", "9" * 30, "1-2-3", " 4 ", "\0", "0-1000000", "1,,2", "½", "0x10", str(2**64 - 1),
        str(2**64),
    ))  # fmt: skip

    def wrong(seeds: list[int]) -> str:
        if not seeds:
            return "no seed at all, without a word"
        outside = [seed for seed in seeds if not 0 <= seed < 2**64]
        return f"the seed {outside[0]}" if outside else f"{len(seeds)} seeds" if len(seeds) > 100_000 else ""

    return Case(f"read_seeds({text!r})", lambda: read_seeds(text), wrong)


@kind("library", 80)
def lists_of_training_clips(rng: random.Random, folder: Path) -> Case:
    """The released `video_json`: entries that are not what they should be are rejected, by name."""
    for k in range(2):
        (folder / f"{k}.mp4").write_bytes(b"not opened yet")
    entry: dict[Any, Any] = {"video": "0.mp4", "caption": "stir the pan"}
    entry[rng.choice(("video", "caption", "fps"))] = rng.choice(CELLS)
    content: Any = rng.choice(
        ([entry, {"video": "1.mp4", "caption": "wash"}], [entry, entry], entry, [[entry]], {"a": [entry]})
    )
    text = rng.choice((json.dumps(content), json.dumps(content), "[" * 100_000, "", "\0"))
    source = folder / "list.json"
    source.write_bytes(encoded(text, rng.choice(("utf-8", "utf-8", "utf-16", "utf-8-sig"))))

    def wrong(found: Found) -> str:
        odd_one = next(
            (clip for clip in found.clips if clip.caption.startswith(("{'", "['", "[[")) or clip.caption == "True"),
            None,
        )
        return f"a caption that is no text: {odd_one.caption!r}" if odd_one else ""

    settings = DataSettings(str(source), masks="white")
    return Case(f"a list of {text[:120]!r}", lambda: find_training_clips(settings), wrong)


@kind("library", 40)
def folders_of_training_data(rng: random.Random, folder: Path) -> Case:
    """Folders as people have them: each clip is found once, with its own caption, or rejected by name."""
    name = rng.choice(("photos with captions", "one photo", "hidden files", "same stem twice", "numbered frames",
        "tif and jfif",
                       "caption without clip", "link in a circle", "capital endings", "nothing"))  # fmt: skip
    wanted = None
    if name == "photos with captions":
        wanted = {"stir the pan", "wash the leek", "cut the bread"}
        for number, sentence in enumerate(sorted(wanted)):
            photo_in(folder, f"photo of {number * 7}.png")
            (folder / f"photo of {number * 7}.txt").write_text(sentence)
    elif name == "one photo":
        photo_in(folder)
        (folder / "a.txt").write_text("stir the pan")
        wanted = {"stir the pan"}
    elif name == "numbered frames":
        for number in range(4):
            photo_in(folder, f"{number:04d}.png")
        (folder / "caption.txt").write_text("stir the pan")
        wanted = {"stir the pan"}
    elif name == "tif and jfif":
        for ending in ("tif", "jfif"):
            photo_in(folder).rename(folder / f"{ending}.{ending}")
            (folder / f"{ending}.txt").write_text(f"stir {ending}")
        wanted = {"stir tif", "stir jfif"}
    elif name == "hidden files":
        (folder / "._a.mp4").write_bytes(b"\0\x05\x16\x07")
        (folder / ".DS_Store").write_bytes(b"\0")
    elif name == "same stem twice":
        for ending in ("mp4", "mov", "txt"):
            (folder / f"a.{ending}").write_text("stir")
    elif name == "caption without clip":
        (folder / "a.txt").write_text("stir")
    elif name == "link in a circle":
        (folder / "a.mp4").symlink_to(folder / "a.mp4")
        (folder / "a.txt").write_text("stir")
    elif name == "capital endings":
        (folder / "A.MP4").write_bytes(b"x")
        (folder / "A.TXT").write_text("stir the pan")

    def wrong(found: Found) -> str:
        said = {clip.caption for clip in found.clips}
        if wanted and said != wanted and not found.rejected:
            return f"captions {sorted(said)} for {sorted(wanted)}, and nothing is rejected"
        return ""

    settings = DataSettings(str(folder), masks="white", caption=rng.choice((None, "for all")))
    return Case(
        f"a training folder with {name}, caption={settings.caption}", lambda: find_training_clips(settings), wrong
    )


@kind("library", 80)
def actions_to_enrich(rng: random.Random, folder: Path) -> Case:
    """Any text as an action: a sentence, names of things, or a refusal; quickly."""
    text = rng.choice(
        (odd.text(rng), " ".join(rng.choices(("cut", "the", "a", "carrot", "with", "knife", ",", "and", "!?"), k=30)))
    )
    which = rng.choice(("enrich", "things"))
    call = {"enrich": lambda: enrich_action(text), "things": lambda: named_things(text)}[which]
    return Case(f"{which} {text[:60]!r}", call, lambda found: "" if found or which == "things" else "an empty sentence")


@kind("library", 30)
def batches_over_odd_folders(rng: random.Random, folder: Path) -> Case:
    """A folder of photos as people have them: photos that can be read are found, what is hidden is not."""
    name = rng.choice(("hidden files", "other kinds", "a name of 240 bytes", "a name that is no text",
        "a folder that ends in .png",
                       "capital ending", "a prompt without photo", "a link in a circle"))  # fmt: skip
    photo_in(folder)
    (folder / "a.txt").write_text("stir the pan")
    wanted = {"a"}
    if name == "hidden files":
        (folder / "._a.png").write_bytes(b"\0\x05\x16\x07")
        (folder / ".DS_Store").write_bytes(b"\0")
    elif name == "other kinds":
        for ending in ("tif", "jfif", "avif"):
            Image.new("RGB", (8, 8)).save(folder / f"{ending}.{ending}", {"jfif": "JPEG"}.get(ending))
            (folder / f"{ending}.txt").write_text("stir the pan")
        wanted |= {"tif", "jfif", "avif"}
    elif name == "a name of 240 bytes":
        photo_in(folder, "n" * 240 + ".png")
        wanted |= {"n" * 240}
    elif name == "a name that is no text":
        photo_in(folder, "x.png").rename(folder / "\udcff.png")
        wanted |= {"\udcff"}
    elif name == "a folder that ends in .png":
        (folder / "b.png").mkdir()
    elif name == "capital ending":
        photo_in(folder, "x.png").rename(folder / "B.PNG")
        wanted |= {"B"}
    elif name == "a link in a circle":
        (folder / "b.png").symlink_to(folder / "b.png")

    def call():
        items = read_table(folder, prompts=["for all"])
        results = folder / "results"
        results.mkdir()
        for item in items:  # as a batch asks
            (results / f"{item.name}.mp4").is_file()
        return items

    def wrong(items: list[Item]) -> str:
        found = {item.image.stem for item in items}
        extra = {stem for stem in found - wanted if name == "hidden files"}
        return (
            f"{sorted(extra)} is taken for a photo"
            if extra
            else f"{sorted(wanted - found)} is missed"
            if wanted - found
            else ""
        )

    return Case(f"a batch over a folder with {name}", call, wrong)
