"""What the network is told at each rung of guidance, and the predictor that climbs them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..models.backbone import Predictor, UNetBackbone
from ..models.one_shot import OneShotUNet
from ..models.text import encode_text
from ..models.told import Told
from .boxes import ToldBoxes
from .deep_features import kept_features
from .guidance import AsCoded, Guided
from .inputs import Items
from .settings import Sampling


def ladder_of(
    backbone: UNetBackbone,
    items: Items,
    whole: Tensor,
    still: Tensor | None,
    cells: Tensor,
    at_boxes: ToldBoxes | None,
    how: Sampling,
    guidance_scale: float,
    spans: list[slice],
    device: torch.device,
) -> list[tuple[float, Told]]:
    """Nothing, then the photo, then the boxes, then the action in place of the negative.

    Args:
        backbone: that is told it.
        items: of the run.
        whole: (B, 1, 1 or F, h, w), masks of the whole pictures.
        still: (B, 4, 1, h, w) latents of what is sampled of the photos; None: there are none.
        cells: (B, 1, 1 or F, h, w), masks of what is sampled.
        at_boxes: see `told_boxes`.
        how: of the run.
        guidance_scale: of the action.
        spans: the windows of the first step.
        device: on which it is told.
    """
    area = whole.mean(dim=(1, 2, 3, 4)) if how.motion_mode == "scaled_by_area" else 1
    motion = None if items.strengths is None else torch.tensor(items.strengths) * area
    guided = guidance_scale > 1
    known = list(dict.fromkeys([*items.sentences, *(items.negatives if guided else ())]))
    states = dict(zip(known, encode_text(backbone.model, known), strict=True))
    told = _actions(items, states, spans)
    if still is not None:
        told = replace(told, photo=still)
    if still is not None and backbone.takes_mask:
        told = replace(told, mask=cells, motion=motion)
    if isinstance(backbone.network, OneShotUNet):
        told = replace(told, begins=torch.zeros(1, dtype=torch.int64))
    if at_boxes is not None:
        told = replace(told, boxes=at_boxes.boxes, phrases=at_boxes.phrases)
    ladder = [(guidance_scale if guided else 1.0, told)]
    if guided:
        negatives = torch.stack([states[sentence] for sentence in items.negatives])
        told = replace(told, text=negatives if told.said is None else negatives[:, None].expand_as(told.text))
        if told.begins is not None:  # so that guidance also leads to what was learned of the clip
            told = replace(told, begins=torch.full_like(told.begins, -1))
    if any(items.tracks) and at_boxes is not None:
        ladder.insert(0, (how.boxes_scale, told))
        told = replace(told, boxes=at_boxes.absent)
    if how.photo_scale != 1 and not how.parity and still is not None:
        ladder.insert(0, (how.photo_scale, told))
        told = replace(told, photo=torch.zeros_like(still))
    ladder.insert(0, (1.0, told))
    return [(scale, told.to(device, backbone.network.dtype)) for scale, told in ladder]


def _actions(items: Items, states: dict[str, Tensor], spans: list[slice]) -> Told:
    """The actions' text states, with their shares over time where one of the items has several."""
    most = max(len(schedule.stretches) for schedule in items.schedules)
    if most == 1:
        return Told(torch.stack([states[schedule.sentences[0]] for schedule in items.schedules]))  # (B, 77, D)
    said = torch.zeros(len(items.schedules), spans[-1].stop, most)
    texts = []
    for row, schedule in zip(said, items.schedules, strict=True):
        sentences = schedule.sentences
        row[:, : len(sentences)] = schedule.shares(spans)
        sentences += sentences[-1:] * (most - len(sentences))
        texts.append(torch.stack([states[sentence] for sentence in sentences]))
    return Told(torch.stack(texts), said=said)  # (B, S, 77, D)


def predictor(backbone: Predictor, ladder: list[tuple[float, Told]], how: Sampling) -> Guided:
    """What predicts a step: a `Guided`, or in parity mode SMCD's form of it where the photo guides."""
    whole = ladder[-1][1]
    if not how.parity or how.photo_scale == 1 or whole.photo is None:
        return Guided(backbone, ladder, how.guidance_interval, kept_features(how))
    without = replace(whole, photo=torch.zeros_like(whole.photo), seen=whole.photo)
    return AsCoded(backbone, ladder, without, how.photo_scale)
