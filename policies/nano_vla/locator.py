"""What cameras tell of places, learned beside the actions: where the hand goes next, where things are and are seen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.vision import Seen, in_crop, pointing_loss

WAYPOINT = "observation.waypoint"
PLACES = "observation.places"
HAND = "observation.hand"
POINTS = "observation.points."
FARTHEST = 3.0
"""Metres, half of the places are nearer to a hand."""
NO_PLACES = "policy=nano_vla policy.places_weight=0 to learn none"
"""A way out that holds wherever places were asked for: what presets set beside them needs them too."""
PLACE_SCALE = 10.0
"""Places are told in decimetres, so that their numbers are near one."""


@dataclass(frozen=True, slots=True)
class Off:
    """An auxiliary loss: how far off each row is (R,), 0 where it has no label, and which rows (R,) have one."""

    loss: Tensor
    known: Tensor

    @property
    def shared(self) -> Tensor:
        """(R,), with a mean over all rows that is the loss's over those with labels: the others do not dilute it."""
        return self.loss * (len(self.known) / self.known.sum().clamp(min=1))


class Locator(nn.Module):
    """Features (B, F) -> (B, size): how far the hand still is from where its fingers next move, and where things are.

    ``waypoint``: size of that label, 0 without one; ``places``: likewise. Both lie in ``batch`` while training only.
    """

    def __init__(self, features: int, hidden: int, waypoint: int, places: int) -> None:
        super().__init__()
        self.sizes, self.size = [waypoint, places], waypoint + places
        self.net = nn.Sequential(
            *(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, self.size),
        )
        self._warned: set[str] = set()
        self._near = False

    def forward(self, features: Tensor) -> Tensor:
        """(B, size) float32; bfloat16 would tell places to no more than millimetres."""
        with torch.autocast(features.device.type, enabled=False):
            located: Tensor = self.net(features.float())
        return located

    def from_hand(self, located: Tensor, hand: Tensor) -> Tensor:
        """What was located (B, size), its places as seen from the hand (B, 3), metres: the differences."""
        waypoint, places = located.split(self.sizes, -1)
        return torch.cat([waypoint, places - PLACE_SCALE * hand.float().repeat(1, self.sizes[1] // 3)], -1)

    def corrected(self, located: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """What was located (R, size), its places replaced by the true ones (R, P) that the batch tells, metres."""
        if PLACES not in batch or batch[PLACES].shape[-1] != self.sizes[1]:
            return located
        waypoint, places = located.split(self.sizes, -1)
        label = PLACE_SCALE * batch[PLACES].to(places)
        return torch.cat([waypoint, label.where(~label.isnan(), places)], -1)

    def losses(self, located: Tensor, batch: Mapping[str, Any], trained: bool) -> dict[str, Off]:
        """Mean absolute errors: ``waypoint`` in its deviations, ``places`` in decimetres.

        ``trained``: it goes on from a checkpoint, and does without a loss that the data have no labels for.

        Raises:
            UserError: places are to be learned from the start, and the data do not tell them, or of another size.
        """
        waypoint, places = located.split(self.sizes, -1)
        found: dict[str, Off] = {}
        if WAYPOINT in batch and self.sizes[0]:
            found["waypoint"] = _absolute(waypoint, batch[WAYPOINT].to(waypoint))
        elif self.sizes[0]:
            self._warn("this loader tells no waypoints: nano_vla's cameras learn from actions alone")
        if PLACES in batch and self.sizes[1]:
            label = batch[PLACES].to(places)
            if label.shape[-1] != self.sizes[1]:
                raise UserError(
                    f"the data tell places of {label.shape[-1]} numbers, but policy.places_size={self.sizes[1]}: "
                    f"set policy.places_size={label.shape[-1]}, or {NO_PLACES}"
                )
            self._check_hand(label, batch)
            found["places"] = _absolute(places, PLACE_SCALE * label)
        elif self.sizes[1] and trained:
            self._warn("these data tell no places: the loss that policy.places_weight weighs is left out")
        elif self.sizes[1]:
            raise UserError(
                "policy.places_weight needs demonstrations that tell where things are: "
                f"robo-reward collect recording.places=true, or {NO_PLACES}"
            )
        return found

    def _check_hand(self, label: Tensor, batch: Mapping[str, Any]) -> None:
        """Once: raises UserError where what policy.hand names is nowhere near what there is."""
        if HAND not in batch or self._near:
            return
        off = float((label - batch[HAND].to(label).repeat(1, label.shape[1] // 3)).abs().nanmedian())
        if off > FARTHEST:
            raise UserError(
                f"policy.hand names numbers of the state that are {off:.3g} m from the places (at most {FARTHEST:g}): "
                "no position of the hand in metres, in the places' frame. Set policy.hand=[] policy.unseen_state=[]"
            )
        self._near = not math.isnan(off)  # a batch without labels says nothing

    def _warn(self, text: str) -> None:
        """Once."""
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(text, stacklevel=3)


class Pointing:
    """How well the cameras' first questions point at the places that a simulator knows, where a batch tells points.

    ``crops``: for each camera, in the order that it is looked at, its short name and what is kept of its picture.
    """

    def __init__(self, crops: Sequence[tuple[str, Sequence[float] | None]], questions: int) -> None:
        self._crops, self._questions, self._warned = crops, questions, False

    def losses(self, seen: Sequence[Seen], moved: Sequence[Tensor], batch: Mapping[str, Any]) -> dict[str, Off]:
        """Cross-entropies in nats, summed over cameras and places; nothing where the data tell no points.

        A row whose places are all outside the pictures has labels: that they are not there.

        ``moved``: for each camera (R, 2), by how much its pictures were shifted, as shares.

        Raises:
            UserError: there are more places than questions.
        """
        known = [k for k, (name, _) in enumerate(self._crops) if POINTS + name in batch]
        if not known and not self._warned:
            self._warned = True
            warnings.warn(
                "these data do not tell where pictures show things: heat_weight teaches nothing", stacklevel=2
            )
        if not known:
            return {}
        loss = torch.stack([self._loss(k, seen[k].answers, moved[k], batch) for k in known]).sum(0)
        told = [~batch[POINTS + self._crops[k][0]].isnan().flatten(1).all(1) for k in known]
        return {"heat": Off(loss, torch.stack(told).any(0).to(loss.device))}

    def _loss(self, camera: int, answers: Tensor, moved: Tensor, batch: Mapping[str, Any]) -> Tensor:
        name, crop = self._crops[camera]
        points = batch[POINTS + name].to(answers)
        if points.shape[1] > self._questions:
            raise UserError(
                f"the data point out {points.shape[1]} places, but policy.questions={self._questions}: set it higher"
            )
        return pointing_loss(answers[:, : points.shape[1]], in_crop(points, crop) + moved[:, None])


def _absolute(located: Tensor, label: Tensor) -> Off:
    """Mean absolute errors of (R, L); labels that are NaN do not count."""
    known = ~label.isnan()
    return Off((located - label.where(known, located)).abs().mean(-1), known.any(-1))


def told(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """What is logged of the losses, over samples that have labels: in deviations, metres and nats."""
    scales = {"waypoint": ("waypoint_deviations", 1.0), "places": ("places_metres", PLACE_SCALE)}
    scales["heat"] = ("heat_nats", 1.0)
    labelled = {key: loss.detach()[loss.detach() != 0] for key, loss in losses.items()}  # 0: nothing is known
    return {scales[key][0]: float(loss.mean()) / scales[key][1] for key, loss in labelled.items() if len(loss)}


def weighed(losses: Mapping[str, Off], weights: Mapping[str, float]) -> Tensor | float:
    """The weighed sum (R,) of the losses, whose mean is that of their means over rows with labels; 0 without any."""
    return torch.stack([weights[key] * off.shared for key, off in losses.items()]).sum(0) if losses else 0.0
