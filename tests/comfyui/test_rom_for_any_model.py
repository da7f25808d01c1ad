"""The region of motion in other models' hands, in a real ComfyUI: its models and samplers, its interface, its files."""

import json

import pytest
from long_graphs import NEWER as LONG
from make_workflows import ROOT
from real_graphs import GRAPHS as REAL
from real_graphs import NEWER
from rom_graphs import GRAPHS
from rom_parts import MODELS
from sd_graphs import GRAPHS as SD
from tour import set_widgets
from window_graphs import GRAPHS as WINDOW

from comfy_harness import installed_comfyui, told_by
from ivg_core.media.video import read_video

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")
NOTHING = 1e-5  # rounding, where latents are of the order of 1


# -- core's own models, VAEs and samplers -------------------------------------


@pytest.fixture(scope="module")
def core():
    """What rom_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "rom_in_core.py")


def holds(outcome: dict) -> bool:
    """Outside and in the first frame the photo's latents; inside something else."""
    return outcome["outside"] < NOTHING and outcome["first_frame"] < NOTHING and outcome["inside"] > 0.1


def test_photos_are_cropped_as_core_crops_them(core):
    assert core["fit"] == 0


def test_wan_noise_mask(core):
    assert core["wan_class"] == "WAN21"
    assert core["wan_shapes"] == {"samples": [1, 16, 3, 8, 8], "noise_mask": [1, 1, 3, 8, 8]}
    assert core["wan_first_frame_is_photo"] == 0
    assert holds(core["wan"])


def test_a_still_video_is_not_its_first_latent_frame_repeated(core):
    """Why the photo is encoded as a video, and its first latent frame not just repeated."""
    assert min(core["wan_still_frames_differ"]) > 0.01


def test_wan_held_inside_the_model(core):
    assert core["wan_both_ways_differ"] < 1e-4, "for one expert both ways are the same"
    exact = {sampler: outcome for sampler, outcome in core["wan_held"].items() if sampler != "uni_pc"}
    assert len(exact) == 6 and all(map(holds, exact.values())), exact
    # uni_pc ends on an extrapolation; a noise mask leaves as much.
    ours, theirs = core["wan_held"]["uni_pc"]["outside"], core["wan_noise_mask_uni_pc"]["outside"]
    assert ours < 0.02 and ours == pytest.approx(theirs, rel=0.01)


def test_a_region_made_through_a_window_goes_back_into_the_whole_photo(core):
    window = core["window"]
    assert window["made"] == [96, 64, 5, 64, 96, 3] and window["shape"] == [5, 202, 300, 3]
    assert window["outside"] == 0 and window["inside"] > 0.01 and "Outside the mask" in window["report"]


def test_two_experts_need_the_model_and_not_the_noise_mask(core):
    assert holds(core["two_experts_held"])
    assert core["two_experts_noise_mask"]["outside"] > 1, "core can do it now: the docs may be shortened"


def test_wan_5b(core):
    assert core["wan_5b_class"] == "WAN22"
    assert core["wan_5b_timesteps_noise_mask"][1] < 1000, "a noise mask inside the frame gives a wrong timestep"
    assert core["wan_5b_timesteps"] == [0, 1000, 1000] and holds(core["wan_5b"])


def test_ltx(core):
    assert core["ltx_class"] == "LTXV"
    assert core["ltx_shapes"] == {"samples": [1, 128, 3, 4, 5], "noise_mask": [1, 1, 3, 4, 5]}
    assert core["ltx_timesteps"] < NOTHING, "each token's timestep is its mask times the sampler's"
    assert core["ltx_soft"] == pytest.approx([0.5, 0.5], abs=1e-3), "soft values too"
    assert holds(core["ltx"]) and core["ltx_outside_is_clean"] < NOTHING
    assert core["ltx_guide_kept"] == 0


def test_ltx_2(core):
    if "ltx_2" not in core:
        pytest.skip("this ComfyUI is older than LTX-2")
    for sampled, outcome in core["ltx_2"].items():
        assert holds(outcome) and outcome["sound"] > 0.1, f"{sampled}: the sound is made anew"


def test_vace(core):
    assert core["vace_made_is_grey"] == 0 and core["vace_kept_is_video"] == 0
    assert core["vace_mask_later_frames"] == 0, "1 is made anew"
    assert core["vace_runs"] == [[1, 16, 3, 8, 8], True]


# -- in the browser -----------------------------------------------------------


def test_the_workflows_name_their_models():
    named = [
        model
        for name in [*GRAPHS, *WINDOW, *REAL, *NEWER, *LONG, *SD]
        for node in json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))["nodes"]
        for model in node["properties"].get("models", [])
    ]
    assert {model["name"] for model in named} == set(MODELS)
    assert all(model["url"].endswith(model["name"]) and model["directory"] for model in named)


def set_up(page, **widgets) -> None:
    """Open the workflow that needs no download, with few steps."""
    assert page.load(ROOT / "workflows" / "ivg_15_any_video.json").ok
    set_widgets(page, steps=2, frames=3, **widgets)
    set_widgets(page, "LoadImage", image="hands.png")


def test_composite_and_preview_run(interface):
    page = interface.page
    set_up(page, format="webm")
    outcome = page.run(timeout=240)
    assert outcome["status"] == "success", outcome
    shown = {one["type"]: one for one in outcome["shown"].values()}
    assert shown["IVGSaveVideo"]["videos"] == 1 and shown["IVGPreviewRoM"]["images"] in (1, 3)
    assert page.evaluate("() => [...document.querySelectorAll('video')].every((video) => video.loop)")
    (report,) = [text for output in interface.client.last_outputs().values() for text in output.get("text", [])
                 if "Outside the mask" in text][:1]  # fmt: skip
    assert "Corrected" in report


FORMATS = {"webm": "video/webm", "mp4": "video/mp4", "gif": "image/png", "png frames": "image/png"}


@pytest.fixture(scope="module")
def saved(interface):
    """A file of each format with the graph inside, and that graph's own title; braces are what readers trip over."""
    page, files = interface.page, {}
    for format in FORMATS:
        set_up(page, format=format, filename_prefix=f"drop/{format}")
        page.evaluate(
            """(title) => { window.app.graph.nodes.find((n) => n.type === 'IVGSaveVideo').title = title; }""",
            f"{format} }} 切る",
        )
        outcome = page.run(timeout=240)
        assert outcome["status"] == "success", outcome
        outputs = [output for output in interface.client.last_outputs().values() if output.get("animated")]
        (output,) = [
            one for one in outputs if any("drop" in file["subfolder"] or "files" in one for file in one["images"])
        ]
        file = (output.get("files") or output["images"])[-1]
        files[format] = interface.server.base_dir / file["type"] / file["subfolder"] / file["filename"]
    return files


def drop(page, path, kind) -> str:
    """Drop a file on an empty canvas; gives the title of the saving node that comes back."""
    page.drop(path, kind)
    page.page.wait_for_function("() => window.app.graph.nodes.some((n) => n.type === 'IVGSaveVideo')", timeout=15000)
    return page.evaluate("() => window.app.graph.nodes.find((n) => n.type === 'IVGSaveVideo').title")


@pytest.mark.parametrize("format", FORMATS)
def test_a_dropped_file_brings_the_graph_back(interface, saved, format):
    assert drop(interface.page, saved[format], FORMATS[format]) == f"{format} }} 切る"


def test_the_films_are_what_was_made(saved):
    webm, mp4 = (read_video(saved[format])[0] for format in ("webm", "mp4"))
    assert webm.shape == mp4.shape and len(webm) == 3
    apart = (webm - mp4).abs()  # at a sharp edge two codecs may differ much in a single pixel
    assert apart.mean() < 0.02 and (apart > 0.2).float().mean() < 0.001 and webm.std() > 0.01
