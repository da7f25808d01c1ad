"""The hand landmark network: from an upright picture of one hand to its 21 joints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu6

from .networks import SameConv, depthwise, pointwise, read_weights

#: Side of the pictures that the network looks at, in pixels.
CROP = 224

#: One row a block: channels in, inside, out; kernel; stride.
FULL = (
    *((16, 64, 24, 3, 2), (24, 144, 24, 3, 1), (24, 144, 40, 5, 2), (40, 240, 40, 5, 1)),
    *((40, 240, 80, 3, 2), (80, 480, 80, 3, 1), (80, 480, 80, 3, 1)),
    *((80, 480, 112, 5, 1), (112, 672, 112, 5, 1), (112, 672, 112, 5, 1)),
    *((112, 672, 192, 5, 2), (192, 1152, 192, 5, 1), (192, 1152, 192, 5, 1), (192, 1152, 192, 5, 1)),
)
LITE = (
    *((16, 64, 16, 3, 2), (16, 96, 16, 3, 1), (16, 96, 24, 5, 2), (24, 144, 24, 5, 1)),
    *((24, 144, 48, 3, 2), (48, 288, 48, 3, 1), (48, 288, 48, 3, 1)),
    *((48, 288, 64, 5, 1), (64, 384, 64, 5, 1), (64, 384, 64, 5, 1)),
    *((64, 384, 112, 5, 2), (112, 672, 112, 5, 1), (112, 672, 112, 5, 1), (112, 672, 112, 5, 1)),
)


class HandLandmarkNet(nn.Module):
    """MediaPipe's hand landmark network.

    Args:
        lite: the smaller of the two published ones. It was trained apart, so it is an independent judge of pictures
            that were made to please the larger.

    Source: hand_landmark_full.tflite and hand_landmark_lite.tflite of mediapipe 0.10.21.
    """

    def __init__(self, lite: bool = False):
        super().__init__()
        blocks = LITE if lite else FULL
        self.stem = SameConv(3, 24, 3, stride=2)
        self.stem_depthwise = depthwise(24, 3)
        self.stem_project = pointwise(24, 16)
        self.blocks = nn.ModuleList(Block(*row) for row in blocks)
        channels, inside = blocks[-1][0], blocks[-1][1]
        self.expand = pointwise(channels, inside)
        self.depthwise = depthwise(inside, 3)
        self.right = nn.Linear(inside, 1)
        self.presence = nn.Linear(inside, 1)
        self.joints = nn.Linear(inside, 63)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Look at hands. Differentiable in the pictures.

        Args:
            crops: (N, 3, 224, 224), 0..1, each showing one hand with its fingers up; see `regions.crop`.

        Returns:
            joints (N, 21, 3), x and y in pixels of the crop and depth in the same unit, 0 at the wrist; the logits of a
            hand being there (N,) and of its being a right one (N,).
        """
        x = crops.to(self.stem.weight.dtype, memory_format=torch.channels_last)
        x = self.stem_project(relu6(self.stem_depthwise(relu6(self.stem(x), True)), True))
        for block in self.blocks:
            x = block(x)
        x = relu6(self.depthwise(relu6(self.expand(x), True)), True).mean((2, 3))  # (N, C)
        joints = self.joints(x).unflatten(1, (21, 3))
        answers = joints, self.presence(x)[:, 0], self.right(x)[:, 0]
        joints, presence, right = (answer.to(crops.dtype) for answer in answers)
        return joints, presence, right


class Block(nn.Module):
    """Widen, look around, narrow; added to what came in where the channels allow it."""

    def __init__(self, inputs: int, inside: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.expand = pointwise(inputs, inside)
        self.depthwise = depthwise(inside, kernel, stride)
        self.project = pointwise(inside, outputs)
        self.stride, self.adds = stride, inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(relu6(self.depthwise(relu6(self.expand(x), True)), True))
        if not self.adds:
            return y
        return y + (x if self.stride == 1 else max_pool2d(x, 2))


def load_landmark_net(
    lite: bool = False, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> HandLandmarkNet:
    """The network with the published weights, frozen."""
    name = "hands-mediapipe-landmark-lite.safetensors" if lite else "hands-mediapipe-landmark.safetensors"
    return read_weights(HandLandmarkNet(lite), name, device, dtype)
