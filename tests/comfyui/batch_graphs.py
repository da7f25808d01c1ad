"""The example workflows for batches and for enriching an action; see graphs.py for what describes a graph.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/batch_graphs.py [--shots FOLDER]

writes them and their thumbnails, as make_workflows.py does for the others.
"""

from graphs import BATCH, CLEAN, DRAWN_ONLY, FIXED, ONE_PHOTO, REGION, VIDEO, WORDS, Box, Graph, grouped, sampled


def batch_two_stage() -> Graph:
    note = (
        "## Many videos overnight\n\n"
        "1. Put a folder of photos or a table into ComfyUI's `input` folder, and its name into **table**.\n"
        "2. Press **Run all that is left**.\n"
        "3. Look at `output/ivg/<batch>/index.html`.\n\n"
        "Each video is saved when it is ready. Cancel, close, crash: the next run goes on, and what is done is never "
        "made twice.\n\n"
        f"`ivg_example` draws four scenes, so that it runs at once.\n\n{DRAWN_ONLY}\n\n"
        "**Another video model:** put it between loader and saver; the saver takes any frames."
    )
    return Graph(
        boxes={
            "note": Box("MarkdownNote", (0, 0), (320, 520), {"": note}, "Read me"),
            **grouped(
                BATCH,
                {
                    "loader": Box("IVGBatchLoader", (360, 0), (340, 420)),
                    "model": Box("LoadIVGModel", (360, 500), (340, 110)),
                },
            ),
            **grouped(
                REGION,
                {
                    "predict": Box("PredictRoMMask", (740, 0), (320, 690), dict(FIXED)),
                    "refine": Box("RefineMask", (1100, 0), (280, 520), {**CLEAN, "grow": 15}),
                },
            ),
            **sampled(1420),
            "save": Box("IVGBatchSave", (1810, 0), (400, 400), group=VIDEO),
        },
        links=[
            "model.model > predict.model",
            "model.model > sample.model",
            "loader.image > predict.image",
            "loader.image > sample.image",
            "loader.action > predict.action",
            "loader.action > sample.action",
            "loader.seed > predict.seed",
            "loader.seed > sample.seed",
            "predict.mask > refine.mask",
            "refine.mask > sample.mask",
            "refine.mask > save.mask",
            "loader.item > save.item",
            "sample.frames > save.frames",
        ],
        picture="predict",
    )


def enriched_action() -> Graph:
    note = (
        "## A few words → a sentence → a video\n\n"
        "**IVG Enrich Action** says what each hand does. Run, look at the sentence, press **Edit** to change it.\n\n"
        "*template* works offline. For sentences about *your* photo choose *local model* (a vision-language model in "
        "`models/LLM`) or *server* (Ollama, LM Studio, llama.cpp on your machine).\n\n"
        "The embedded model knows short sentences best; published checkpoints want the long ones.\n\n"
        f"{DRAWN_ONLY}"
    )
    return Graph(
        boxes={
            "note": Box("MarkdownNote", (0, 0), (320, 420), {"": note}, "Read me"),
            "scene": Box("IVGExampleScene", (360, 0), (320, 320), {"seed": 14, **FIXED}, group=ONE_PHOTO),
            "model": Box("LoadIVGModel", (360, 400), (320, 110), group=ONE_PHOTO),
            "enrich": Box("IVGEnrichAction", (720, 0), (360, 690), {"action": "slice the orange carrot"}, group=WORDS),
            "predict": Box("PredictRoMMask", (1120, 0), (320, 690), dict(FIXED), group=REGION),
            **sampled(1480),
        },
        links=[
            "scene.image > enrich.image",
            "model.model > predict.model",
            "model.model > sample.model",
            "scene.image > predict.image",
            "scene.image > sample.image",
            "enrich.action > predict.action",
            "enrich.action > sample.action",
            "predict.mask > sample.mask",
            "sample.video > save.video",
        ],
        picture="predict",
    )


GRAPHS = {"ivg_24_many_videos": batch_two_stage, "ivg_21_few_words_to_video": enriched_action}

if __name__ == "__main__":
    import make_workflows

    make_workflows.GRAPHS = GRAPHS
    make_workflows.main()
