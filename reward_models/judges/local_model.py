"""A vision-language model in this process, through transformers: any image-text-to-text model, hub id or folder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.errors import MissingExtra, UserError, unknown_name
from robo_reward.reward_models.judges.backend import Choice, Prompt

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")


class LocalModel:
    """Loads the model at the first question; safetensors only, code of the checkpoint is never run.

    ``model``: a hub id or a folder. ``device``: cpu, cuda, mps. ``dtype``: of ``DTYPES``; auto is the checkpoint's.

    Raises:
        UserError: for an unknown dtype.
    """

    def __init__(self, model: str | None, device: str = "cpu", dtype: str = "auto") -> None:
        if dtype not in DTYPES:
            raise unknown_name("dtype", dtype, DTYPES)
        self._name, self._device, self._dtype = model, device, dtype
        self._loaded: tuple[Any, Any] | None = None

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        """As ``Backend.answer``, by greedy decoding.

        Raises:
            UserError: if the model cannot be loaded or reads fewer tokens than a prompt has.
        """
        model, processor = self._load()
        answers = []
        for prompt in prompts:
            inputs = self._encode(prompt, max_tokens)
            read = inputs["input_ids"].shape[1]
            written = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
            answers.append(str(processor.tokenizer.decode(written[0, read:], skip_special_tokens=True)))
        return answers

    def choose(self, prompts: Sequence[Prompt], lead: str, candidates: Sequence[str]) -> list[Choice]:
        """As ``Backend.choose``: the lead is put into the model's mouth, so every answer can be read.

        Candidates of one token each cost one pass; longer ones cost a pass each, and their tokens' log-probabilities
        add up.
        """
        tokenizer = self._load()[1].tokenizer
        spelled = [tokenizer(f"{lead}{c}", add_special_tokens=False)["input_ids"] for c in candidates]
        shared = _shared_start(spelled)
        rests = [ids[shared:] for ids in spelled]
        return [self._choose(self._encode(p, max(map(len, spelled))), spelled[0][:shared], rests) for p in prompts]

    def _choose(self, inputs: dict[str, Any], start: list[int], rests: list[list[int]]) -> Choice:
        if all(len(rest) == 1 for rest in rests):
            row = self._next_token(_extended(inputs, start), 1)[0]
            found = np.asarray([row[rest[0]] for rest in rests], np.float64)
        else:
            found = np.zeros(len(rests))
            for k, rest in enumerate(rests):
                rows = self._next_token(_extended(inputs, start + rest), len(rest) + 1)
                found[k] = sum(float(rows[j][token]) for j, token in enumerate(rest))
        if np.isnan(found).any():
            raise UserError(
                f"the model '{self._name}' computes NaN: its weights are damaged, or they overflow in {self._dtype} "
                "(set backend.dtype=float32)"
            )
        return Choice(np.minimum(found, 0), "")

    def _next_token(self, inputs: dict[str, Any], last: int) -> torch.Tensor:
        """Log-probabilities (last, vocabulary) of what follows each of the last positions."""
        import torch

        model = self._load()[0]
        # logits of every picture token would need gigabytes
        more = {"logits_to_keep": last} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        with torch.no_grad():
            logits = model(**inputs, **more).logits[0, -last:]
        return torch.log_softmax(logits.double(), -1).cpu()

    def _encode(self, prompt: Prompt, room: int) -> dict[str, Any]:
        from PIL import Image

        model, processor = self._load()
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image", "image": Image.fromarray(part)}
            for part in prompt
        ]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        length, limit = inputs["input_ids"].shape[1] + room, model.config.get_text_config().max_position_embeddings
        if length > limit:
            raise UserError(
                f"a question of {length} tokens is longer than the {limit} that '{self._name}' reads: set "
                "reward_model.max_frames lower, or env.height and env.width"
            )
        return dict(inputs.to(model.device, dtype=model.dtype))

    # --- loading -----------------------------------------------------------------------------------------------------

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = self._read()
        return self._loaded

    def _read(self) -> tuple[Any, Any]:
        name = self._name
        if not name:
            raise UserError("which model? Set backend.model to a hub id or to a folder with a vision-language model")
        if not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
            raise UserError(f"backend.model={name} is no folder: give one that exists, or a hub id such as OWNER/NAME")
        import torch
        from safetensors import SafetensorError

        if self._device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"backend.device={self._device}, but there is no CUDA device here: set backend.device=cpu")
        try:
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError:
            raise MissingExtra("transformers", "vlm", "a vision-language model in this process") from None
        dtype: Any = self._dtype if self._dtype == "auto" else getattr(torch, self._dtype)
        how: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
        try:
            processor: Any = AutoProcessor.from_pretrained(name, trust_remote_code=False)  # type: ignore[no-untyped-call]
            read: Any = AutoModelForImageTextToText.from_pretrained(name, trust_remote_code=False, **how)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"'{name}' is not a vision-language model that can be read here: {_first_line(error)}. It must be an "
                "image-text-to-text model of transformers with safetensors weights; without a network, a folder or a "
                "model that was downloaded before"
            ) from error
        model, loaded = read
        if loaded["missing_keys"]:  # transformers would go on with random numbers in their place
            missing = sorted(loaded["missing_keys"])
            raise UserError(
                f"'{name}' lacks {len(missing)} of its weights ({missing[0]}, ...): it is damaged or not a whole model"
            )
        if not getattr(processor, "chat_template", None):
            raise UserError(f"'{name}' has no chat template, so it cannot be asked: take its instruction-tuned version")
        return model.to(self._device).eval(), processor


def _extended(inputs: dict[str, Any], tokens: list[int]) -> dict[str, Any]:
    """The inputs with tokens of the answer behind them; what marks tokens one by one grows along."""
    import torch

    ids = inputs["input_ids"]
    added = torch.tensor([tokens], dtype=ids.dtype, device=ids.device)
    longer = inputs | {"input_ids": torch.cat([ids, added], 1)}
    for name, value in inputs.items():
        if name != "input_ids" and isinstance(value, torch.Tensor) and value.shape == ids.shape:
            fill = torch.ones_like if name == "attention_mask" else torch.zeros_like
            longer[name] = torch.cat([value, fill(added).to(value.dtype)], 1)
    return longer


def _shared_start(spelled: Sequence[Sequence[int]]) -> int:
    """How many tokens all spellings begin with, at least one token of each left."""
    longest = min(map(len, spelled)) - 1
    return next((k for k in range(longest) if len({ids[k] for ids in spelled}) > 1), longest)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
