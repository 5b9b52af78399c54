"""The hop backend that is trained here: a compact multi-view transformer on small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Floats
from robo_reward.errors import UserError
from robo_reward.reward_models.frames import task_vector
from robo_reward.reward_models.step_prm.hop_backend import HopBatch
from robo_reward.reward_models.step_prm.hop_episodes import HopEpisode, stack_bytes
from robo_reward.reward_models.step_prm.hop_net import HopNet
from robo_reward.reward_models.step_prm.hop_training import HopFit, fit_hops

FEATURES = 64
"""Length of a token and of the features of a pair."""


class CompactHops:
    """Hops by ``HopNet``. ``views``: every camera it was made for; it also works on fewer of them."""

    def __init__(self, views: Sequence[str], layers: int = 2, heads: int = 4) -> None:
        """Raises UserError for fewer than 1 layer, and for heads that do not divide ``FEATURES``."""
        check_numbers("reward_model=step_prm", least=1, whole=True, layers=layers, heads=heads)
        if FEATURES % heads:
            raise UserError(f"reward_model=step_prm: heads={heads} must divide {FEATURES}, the length of a token")
        self.views, self._layers, self._heads = tuple(views), layers, heads
        self._net: HopNet | None = None
        self.height = self.width = 0

    @property
    def net(self) -> HopNet:
        """The network.

        Raises:
            UserError: before it was trained or loaded.
        """
        if self._net is None:
            raise UserError("this reward model is not fitted: run robo-reward fit, or give reward_model.path=FOLDER")
        return self._net

    def start(self, height: int, width: int) -> None:
        """A new network for pictures of this size."""
        self.height, self.width = height, width
        self._net = HopNet(len(self.views), height, width, FEATURES, self._layers, self._heads).eval()

    def train(self, episodes: Sequence[HopEpisode], settings: HopFit) -> float:
        """Goes on training on labelled episodes; the last loss."""
        return fit_hops(self.net, episodes, settings)

    def hops(self, batch: HopBatch) -> Floats:
        """The signed hop (B,) float32 in [-1, 1]."""
        hop, _ = self.judge(batch)
        return hop.clamp(-1, 1).numpy()

    @torch.no_grad()
    def judge(self, batch: HopBatch) -> tuple[Tensor, Tensor]:
        """Unclipped hops (B,) and features (B, 64)."""
        tokens = self.net.encode(self._images(batch))
        count = len(batch)
        given = torch.ones(count, 2 + len(self.views), dtype=torch.bool)
        given[:, 2:] = torch.tensor([view in batch.frames for view in self.views])
        front = self.views[0] in batch.frames  # anchors are front views
        given[:, 0], given[:, 1] = torch.from_numpy(batch.start >= 0) & front, torch.from_numpy(batch.goal >= 0) & front
        task = torch.stack([task_vector(text) for text in batch.task])
        where = [torch.from_numpy(index) for index in (batch.before, batch.after, batch.start, batch.goal)]
        before, after, start, goal = (tokens[index.clamp(min=0)] for index in where)
        hop, features = self.net(before, after, start[:, 0], goal[:, 0], task, given)
        if not bool(torch.isfinite(hop).all()):  # NaN would pass for an answer that could not be read
            raise UserError("the network computes hops that are not finite: its training went wrong, fit it again")
        return hop, features

    def _images(self, batch: HopBatch) -> Tensor:
        known = [view for view in self.views if view in batch.frames]
        sizes = {batch.frames[view].shape[1:3] for view in known}
        if sizes != {(self.height, self.width)}:
            raise UserError(
                f"this reward model was fitted on pictures of {self.height}x{self.width}, got {sorted(sizes)}: "
                "set env.height and env.width"
            )
        return stack_bytes(dict(batch.frames), self.views).float().div_(255).sub_(0.5)

    # --- on disk -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Weights and what they are for."""
        shape = {"height": self.height, "width": self.width, "layers": self._layers, "heads": self._heads}
        return {"views": list(self.views), "shape": shape, "net": self.net.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave.

        Raises:
            UserError: for other views, another architecture, or weights of another shape or that are not finite.
        """
        if tuple(state["views"]) != self.views:
            raise UserError(
                f"this reward model was fitted on views {list(state['views'])}, the configuration asks for "
                f"{list(self.views)}: set reward_model.views"
            )
        shape = state["shape"]
        if (shape["layers"], shape["heads"]) != (self._layers, self._heads):
            raise UserError(
                f"this reward model has layers={shape['layers']} and heads={shape['heads']}, the configuration asks "
                f"for {self._layers} and {self._heads}: set reward_model.layers and reward_model.heads"
            )
        self.start(int(shape["height"]), int(shape["width"]))
        try:
            self.net.load_state_dict(state["net"])
        except RuntimeError as error:
            raise UserError(f"the weights do not fit this network: {str(error).splitlines()[-1].strip()}") from error
        if not all(bool(torch.isfinite(weight).all()) for weight in state["net"].values()):
            raise UserError("the weights hold values that are not finite: fit the reward model again")
