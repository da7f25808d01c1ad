"""A real vision-language model, as small as can be: for tests of what reads and asks one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ivg_core.enrich.answer import INSTRUCTION, question
from ivg_core.media.images import to_pil


def make_vlm(folder: Path, action: str, lessons: dict[str, Tensor]) -> Path:
    """Write a tiny LLaVA with its processor as transformers publishes them.

    Args:
        folder: to write.
        action: the question that it is taught to answer.
        lessons: thing -> photo (H, W, 3): shown the photo, it answers "Hold the <thing>."; things of equal length.

    Returns:
        The folder.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    marks = ["<pad>", "<s>", "</s>", "<image>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({token: n for n, token in enumerate(marks + letters)}, []))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>"
        "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}\nASSISTANT:",
    )
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=3, vision_feature_layer=-1)
    model = LlavaForConditionalGeneration(config)
    processor.save_pretrained(folder)
    _teach(model, processor, action, lessons)
    model.eval().save_pretrained(folder)
    return folder


def _teach(model, processor, action: str, lessons: dict[str, Tensor]) -> None:
    batch = []
    for thing, photo in lessons.items():
        words = {"type": "text", "text": f"{INSTRUCTION}\n\n{question(action)}"}
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image", "image": to_pil(photo)}, words]}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
        answer = processor.tokenizer(f" Hold the {thing}.", add_special_tokens=False, return_tensors="pt").input_ids
        answer = torch.cat([answer, torch.tensor([[2]])], 1)
        labels = torch.cat([torch.full_like(inputs["input_ids"], -100), answer], 1)
        batch.append((torch.cat([inputs["input_ids"], answer], 1), inputs["pixel_values"], labels))
    ids, pixels, labels = (torch.cat(parts) for parts in zip(*batch, strict=True))
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        loss = model(input_ids=ids, pixel_values=pixels, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break
