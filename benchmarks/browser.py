"""Every workflow in ComfyUI's page, in both looks: dropped on the canvas, run where no download is needed, looked at.

    COMFYUI_PATH=… PYTHONPATH=.:tests:tests/comfyui python benchmarks/browser.py [--shots out/shots] [--as-saved]

Writes benchmarks/results/browser.json: workflows, how many of them (times two looks) opened, how many were run and ran,
and everything that was wrong: missing nodes, widgets and links, alerts, runs that did not succeed, videos that show no
picture, errors of the page. Steps and frames are few unless --as-saved is given.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile

from tour import (
    LOOKS,
    ROOT,
    WORKFLOWS,
    all_models,
    interface_of,
    make_short,
    needs_download,
    open_workflow,
    page_faults,
    run_workflow,
)

from benchmarks.record import record
from comfy_harness import installed_comfyui
from comfy_harness.browser import ComfyBrowser

QUICK = {"steps": 4, "frames": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=pathlib.Path, default=ROOT / "out" / "shots", help="folder for screenshots")
    parser.add_argument("--as-saved", action="store_true", help="run the workflows with their own steps and frames")
    options = parser.parse_args()
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    figures = {"workflows": len(WORKFLOWS), "looks": len(LOOKS), "opened": 0, "run": 0, "ran": 0}
    faults: list[str] = []
    for look in LOOKS:
        with (
            tempfile.TemporaryDirectory() as folder,
            interface_of(look, found, all_models(pathlib.Path(folder))) as server,
            ComfyBrowser(server.url, expect_extensions=["ivg"]) as page,
        ):
            page.foreign_requests.clear()  # of the graph that the interface itself begins with
            for path in WORKFLOWS:
                wrong = open_workflow(page, path)
                figures["opened"] += not wrong
                if not needs_download(path):
                    if not options.as_saved:
                        make_short(page, **QUICK)
                    figures["run"] += 1
                    failed = run_workflow(page)
                    figures["ran"] += not failed
                    wrong += failed
                page.fit()
                page.screenshot(options.shots / f"{look}_{path.stem}.png")
                faults += [f"{look} {path.stem}: {one}" for one in wrong]
                print(look, path.stem, wrong or "ok", flush=True)
            faults += [f"{look}: {one}" for one in page_faults(page)]
    print(*faults, sep="\n")
    print(record(ROOT / "benchmarks", "browser", {**figures, "faults": len(faults)}).read_text())


if __name__ == "__main__":
    main()
