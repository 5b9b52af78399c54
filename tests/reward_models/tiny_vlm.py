"""Vision-language models of a few thousand random weights, written to a folder as real checkpoints are."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

WORDS = ["ANSWER: 1 2 3 4 5 True False", "Frame 1: a square. Done: 10%", "move the square to the right"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIDE, PATCH = 32, 16


def tokenizer(special: dict[str, str]) -> Any:
    """A byte-level tokenizer, in which ``1`` and `` 1`` are tokens of their own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special.values()]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        WORDS * 4,
        trainers.BpeTrainer(vocab_size=400, special_tokens=marks, initial_alphabet=alphabet, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=4096,
        extra_special_tokens=special,
    )


def write_idefics3(folder: Path, seed: int = 0, positions: int = 4096, safe: bool = True) -> Path:
    """Idefics3: images as fixed runs of tokens."""
    import torch

    hub: Any = import_module("transformers")

    special = {
        "fake_image_token": "<fake_token_around_image>",
        "image_token": "<image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    words = tokenizer(special)
    text = hub.LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=positions,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    vision = hub.models.idefics3.configuration_idefics3.Idefics3VisionConfig(
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
    )
    config = hub.Idefics3Config(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id,
    )
    edge = {"longest_edge": SIDE}
    hub.Idefics3Processor(
        image_processor=hub.Idefics3ImageProcessor(size=edge, max_image_size=edge, do_image_splitting=False),
        tokenizer=words,
        image_seq_len=(SIDE // PATCH) ** 2 // 4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    model = hub.Idefics3ForConditionalGeneration(config)
    if safe:
        model.save_pretrained(folder)
    else:  # what a checkpoint from before safetensors looks like; its weights must never be read
        config.save_pretrained(folder)
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x04}.")
    return folder


def write_qwen3_vl(folder: Path, seed: int = 0) -> Path:
    """Qwen3-VL: images as runs of tokens as long as they are large, and positions in three dimensions."""
    import torch

    hub: Any = import_module("transformers")

    special = {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    }
    words = tokenizer(special)
    ids = {name: words.convert_tokens_to_ids(mark) for name, mark in special.items()}
    config = hub.Qwen3VLConfig(
        text_config={
            "vocab_size": len(words),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            "rope_scaling": {"rope_type": "default", "mrope_section": [2, 3, 3], "mrope_interleaved": True},
            "rope_theta": 10000.0,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
    )
    size = {"shortest_edge": (2 * PATCH) ** 2, "longest_edge": (4 * PATCH) ** 2}
    patches = {"patch_size": PATCH, "temporal_patch_size": 2, "merge_size": 2}
    hub.Qwen3VLProcessor(
        image_processor=hub.Qwen2VLImageProcessor(size=size, **patches),
        tokenizer=words,
        video_processor=hub.Qwen3VLVideoProcessor(**patches),
        chat_template=TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    hub.Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    return folder
