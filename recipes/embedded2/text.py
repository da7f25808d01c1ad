"""Teach the text encoder what the sentences say, before the UNets attend to it."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import CLIPTextModel, CLIPTokenizer

from ivg_core.synthetic.clips import ACTIONS, Scene
from ivg_core.synthetic.props import COLOURS, KINDS
from recipes.embedded.parts import TEXT_WIDTH, build_text_encoder, build_tokenizer
from recipes.embedded.sentences import paraphrase
from recipes.embedded2.loop import store

#: Scenes whose sentences are learnt from; nothing is drawn of them.
SCENES, FIRST_SEED = 3000, 300_000


def texts(folder: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Tokenizer and untrained text encoder, the same in every process."""
    tokenizer = build_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return tokenizer, build_text_encoder(tokenizer)


def labels(action: str, kind: str, sentence: str) -> list[int]:
    """What a sentence says: action, thing, colour, direction, hand; 0 = it does not say."""
    words = sentence.split()
    colour = next((1 + i for i, name in enumerate(COLOURS) if name in words), 0)
    direction = next((i for i, end in ((1, "to the left"), (2, "to the right")) if end in sentence), 0)
    hand = next((i for i, end in ((1, "left hand"), (2, "right hand")) if end in sentence), 0)
    return [list(ACTIONS).index(action), list(KINDS).index(kind), colour, direction, hand]


CLASSES = (len(ACTIONS), len(KINDS), 1 + len(COLOURS), 3, 3)


def train_text(folder: Path, out: Path, device: str, steps: int) -> None:
    """Teach every position after the sentence to tell what the sentence says; write ``text.safetensors``."""
    began = time.time()
    tokenizer, encoder = texts(folder)
    rng = random.Random(0)
    sentences, said = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + (SCENES if device == "cuda" else 100)):
        scene = Scene(seed)
        for task in scene.tasks:
            sentences.append(paraphrase(task.text, rng))
            said.append(labels(task.action, scene.props[task.target].kind, task.text))
    coded: Any = tokenizer(sentences, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    ids = coded.input_ids.to(device)
    wanted = torch.tensor(said, device=device)  # (N, 5)
    heads = nn.ModuleList(nn.Linear(TEXT_WIDTH, count) for count in CLASSES).to(device)
    encoder = encoder.to(device).train().requires_grad_(True)
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    right = torch.zeros((), device=device)
    for _ in range(steps):
        rows = torch.randint(len(ids), (128,), device=device)
        states = encoder(ids[rows])[0]  # (B, 77, D)
        after = (ids[rows] == tokenizer.eos_token_id).float()  # the end and the padding, which see every word
        loss, right = states.new_zeros(()), torch.ones_like(after, dtype=torch.bool)
        for head, column in zip(heads, wanted[rows].T, strict=True):
            answer = head(states).transpose(1, 2)  # (B, C, 77)
            target = column[:, None].expand(-1, states.shape[1])
            loss = loss + (after * cross_entropy(answer, target, reduction="none")).sum() / after.sum()
            right = right & (answer.argmax(1) == target)
        right = (right * after).sum() / after.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    encoder.eval().requires_grad_(False)
    store(out, "text", encoder)
    store(folder, "text", encoder)
    print(f"text: {float(right):.1%} understood wholly, {time.time() - began:.0f} s", flush=True)


def read_texts(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, sentences: list[str], device: str) -> Tensor:
    """Text states (N, 77, D)."""
    coded: Any = tokenizer(sentences, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    with torch.no_grad():
        return encoder(coded.input_ids.to(device))[0]
