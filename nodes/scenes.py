"""IVGExampleScene: a photo and its action sentence, so that a workflow runs before the user has either."""

from comfy_api.latest import io, ui

from ._compat import found_by
from ._edges import to_comfy
from ._notes import noted


class IVGExampleScene(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGExampleScene",
            display_name="IVG Example Scene",
            category="IVG",
            **found_by("demo photo", "test image", "sample kitchen", "animate photo"),
            description="Draws a kitchen-table scene and says what the hand will do: an example input that needs no "
            "file. Put Load Image and your own sentence in its place.",
            inputs=[
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Which scene: the same number draws the same scene again.",
                )
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The photo, before anything has moved."),
                io.String.Output(display_name="action", tooltip="What the hand is going to do, in one sentence."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, seed) -> io.NodeOutput:
        from ..ivg_core.synthetic import example

        image, action = example(seed)
        photo = to_comfy(image)[None]
        return io.NodeOutput(photo, action, ui=ui.PreviewImage(photo, cls=cls))
