"""A SmolVLM of a few thousand weights, with its tokenizer, in a folder: SmolVLA's real classes without the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = [
    "open the drawer",
    "move the square to the right",
    "pick up the black bowl and place it on the plate",
    "go right",
]
SPECIAL = {
    "fake_image_token": "<fake_token_around_image>",
    "image_token": "<image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}
PICTURE, PATCH, SCALE = 32, 16, 2
SETTINGS: dict[str, Any] = {
    "load_vlm_weights": False,
    "num_vlm_layers": 2,
    "resize_imgs_with_padding": [PICTURE, PICTURE],
    "chunk_size": 6,
    "n_action_steps": 3,
    "max_state_dim": 4,
    "max_action_dim": 4,
    "num_steps": 2,
    "tokenizer_max_length": 16,
    "train_expert_only": False,
    "freeze_vision_encoder": False,
}


def build_vlm(folder: Path) -> Path:
    """Writes configuration, tokenizer and processor; no weights, since SmolVLA starts from random ones then."""
    import transformers as hf  # its configurations are decorated in a way that type checkers cannot follow
    from transformers.models.smolvlm import configuration_smolvlm

    made: Any = hf
    vision_of: Any = configuration_smolvlm.SmolVLMVisionConfig
    words = _tokenizer()
    text = made.LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=128,
        pad_token_id=words.pad_token_id,
    )
    vision = vision_of(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=PICTURE,
        patch_size=PATCH,
    )
    config = made.SmolVLMConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        scale_factor=SCALE,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id,
    )
    config.architectures = ["SmolVLMForConditionalGeneration"]
    config.save_pretrained(folder)
    edge = {"longest_edge": PICTURE}
    images = made.SmolVLMImageProcessor(size=edge, max_image_size=edge, do_image_splitting=False)
    sampling = {"fps": 1, "max_frames": 4, "video_size": edge}
    videos = made.SmolVLMVideoProcessor(size=edge, max_image_size=edge, video_sampling=sampling)
    tokens = (PICTURE // PATCH) ** 2 // SCALE**2
    made.SmolVLMProcessor(images, words, videos, image_seq_len=tokens).save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *SPECIAL.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        padding_side="right",
        model_max_length=128,
        extra_special_tokens=SPECIAL,
    )
