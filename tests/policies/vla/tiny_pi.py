"""pi0 and pi0.5 of some ten thousand weights, and a CLIP for multi_task_dit: LeRobot's real classes without the hub.

No setting of theirs reaches such sizes, so the names that say them are replaced while the tests run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_smolvlm import _tokenizer  # type: ignore[import-not-found]

WORDS = "google/paligemma-3b-pt-224"
"""The tokenizer that both fetch by a fixed name."""
PICTURE = 32
PI: dict[str, Any] = {
    "image_resolution": [PICTURE, PICTURE],
    "chunk_size": 4,
    "n_action_steps": 2,
    "max_state_dim": 4,
    "max_action_dim": 4,
    "num_inference_steps": 2,
    "tokenizer_max_length": 48,
}
DIT: dict[str, Any] = {
    "hidden_dim": 16,
    "num_layers": 1,
    "num_heads": 2,
    "timestep_embed_dim": 16,
    "horizon": 8,
    "n_action_steps": 3,
    "num_train_timesteps": 4,
    "image_resize_shape": [PICTURE, PICTURE],
    "tokenizer_max_length": 16,
}


def shrink(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes pi0 and pi0.5 tiny, with a tokenizer of ours in ``folder``."""
    import transformers
    from lerobot.policies.pi0 import modeling_pi0
    from lerobot.policies.pi05 import modeling_pi05

    words = _tokenizer()
    words.save_pretrained(folder)
    read = transformers.AutoTokenizer.from_pretrained

    def found(name: str, *given: Any, **more: Any) -> Any:
        return read(str(folder) if name == WORDS else name, *given, **more)

    patch.setattr(transformers.AutoTokenizer, "from_pretrained", found)
    for module in (modeling_pi0, modeling_pi05):
        _shrink(patch, module, len(words))


def _shrink(patch: pytest.MonkeyPatch, module: Any, words: int) -> None:
    seeing, speaking = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM

    def small_seeing(config: Any) -> Any:
        for name, value in (("hidden_size", 16), ("intermediate_size", 32), ("num_hidden_layers", 1)):
            setattr(config.vision_config, name, value)
        config.vision_config.num_attention_heads, config.vision_config.patch_size = 2, 16
        config.vision_config.projection_dim = config.text_config.hidden_size
        config.text_config.vocab_size = config._vocab_size = words + 1
        config.image_token_index = config.image_token_id = words
        config.text_config.pad_token_id = config.pad_token_id = 0
        return seeing(config=config)

    def small_speaking(config: Any) -> Any:
        config.vocab_size, config.pad_token_id = words + 1, 0
        return speaking(config=config)

    patch.setattr(module, "PaliGemmaForConditionalGenerationWithPiGemma", small_seeing)
    patch.setattr(module, "PiGemmaForCausalLM", small_speaking)
    # eight heads are written into the attention's shapes
    patch.setattr(module, "get_gemma_config", lambda variant: module.GemmaConfig(32, 2, 32, 8, 1, 8))


def build_clip(folder: Path) -> Path:
    """A CLIP with random weights and its tokenizer; the folder's name must hold "clip"."""
    import transformers as hf

    made: Any = hf
    words = _tokenizer()
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"image_size": PICTURE, "patch_size": 16}
    ends = {"vocab_size": len(words), "eos_token_id": words.eos_token_id, "bos_token_id": words.bos_token_id}
    config = made.CLIPConfig(
        text_config={**text, **ends, "max_position_embeddings": 32, "pad_token_id": words.pad_token_id},
        vision_config={**text, **sizes},
        projection_dim=16,
    )
    made.CLIPModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
