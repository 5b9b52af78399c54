"""A CLIP model as two functions into one space: pictures to unit vectors, prompts to one unit vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.clip.pixels import PixelPipeline, PixelSettings
from robo_reward.reward_models.clip.weights import known_architecture, load_open_clip, weights_at_hand
from robo_reward.reward_models.fingerprint import fingerprint

INSTEAD = "reward_model.pretrained=null takes random weights, for tests only"


class ClipEncoder:
    """An open_clip model by name, loaded when it is first used.

    ``pretrained``: a tag or a local file; None for random weights (the same every time, said loudly). ``batch``:
    pictures at a time. ``device``: where the network runs; results are on the CPU.
    """

    def __init__(self, architecture: str, pretrained: str | None, batch: int = 64, device: str = "cpu") -> None:
        if batch < 1:
            raise UserError(f"batch={batch} must be at least 1: pictures at a time")
        self.architecture, self.pretrained = architecture, pretrained
        self._batch, self._device = batch, device
        self._net: Any = None
        self._pixels: PixelPipeline | None = None

    @property
    def net(self) -> Any:
        """The open_clip model, in eval mode and frozen; loaded at the first use.

        Raises:
            UserError: for an unknown name, weights that are neither here nor to be fetched, a device that is not there.
        """
        if self._net is None:
            if self._device.startswith("cuda") and not torch.cuda.is_available():
                raise UserError(f"device={self._device}: torch sees no GPU here; use device=cpu")
            asked = f"reward_model.architecture={self.architecture} reward_model.pretrained={self.pretrained}"
            net = load_open_clip(self.architecture, self.pretrained, asked, INSTEAD)
            self._net = net.to(self._device)
        return self._net

    def fingerprint(self) -> str:
        """SHA-256 of the network's weights."""
        return fingerprint(self.net)

    @property
    def pixels(self) -> PixelPipeline:
        """The model's own preprocessing."""
        if self._pixels is None:
            import open_clip

            settings = PixelSettings.of(open_clip.get_model_preprocess_cfg(self.net))
            self._pixels = PixelPipeline(settings, self._device)
        return self._pixels

    @torch.inference_mode()
    def pictures(self, frames: Frames) -> Tensor:
        """Unit vectors (F, D) of frames (F, H, W, 3) uint8."""
        net, pixels = self.net, self.pixels
        parts = []
        for start in range(0, len(frames), self._batch):
            seen = net.encode_image(pixels(frames[start : start + self._batch]))
            parts.append(torch.nn.functional.normalize(seen.float(), dim=-1).cpu())
        return torch.cat(parts) if parts else torch.zeros(0, 1)

    @torch.inference_mode()
    def prompts(self, texts: Sequence[str]) -> Tensor:
        """The unit vector (D,) in the middle of the prompts' unit vectors.

        Raises:
            UserError: without prompts, for an empty one, and for a tokenizer that cannot be fetched.
        """
        if not texts or not all(text.strip() for text in texts):
            raise UserError(f"prompts {list(texts)} must be one or more sentences, none of them empty")
        import open_clip

        net = self.net
        with weights_at_hand(f"the tokenizer of {self.architecture}", INSTEAD):
            tokenize = open_clip.get_tokenizer(known_architecture(self.architecture))
        vectors = torch.nn.functional.normalize(net.encode_text(tokenize(list(texts)).to(self._device)).float(), dim=-1)
        middle: Tensor = torch.nn.functional.normalize(vectors.mean(0), dim=-1).cpu()
        return middle
