"""What cameras tell of places, learned beside the actions: where the hand goes next, where things are and are seen."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.vision import Seen, in_crop, pointing_loss

WAYPOINT = "observation.waypoint"
PLACES = "observation.places"
POINTS = "observation.points."
PLACE_SCALE = 10.0
"""Places are told in decimetres, so that their numbers are near one."""


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

    def forward(self, features: Tensor) -> Tensor:
        """(B, size) float32."""
        located: Tensor = self.net(features.float()).float()
        return located

    def losses(self, located: Tensor, batch: Mapping[str, Any], trained: bool) -> dict[str, Tensor]:
        """Mean absolute errors (B,): ``waypoint`` in its deviations, ``places`` in decimetres; 0 where none
        is known.

        ``trained``: it goes on from a checkpoint, and does without a loss that the data have no labels for.

        Raises:
            UserError: places are to be learned from the start, and the data do not tell them.
        """
        waypoint, places = located.split(self.sizes, -1)
        found: dict[str, Tensor] = {}
        if WAYPOINT in batch and self.sizes[0]:
            label = batch[WAYPOINT].to(waypoint)
            known = ~label.isnan()
            found["waypoint"] = (waypoint - label.where(known, waypoint)).abs().mean(-1)
        elif self.sizes[0]:
            self._warn("this loader tells no waypoints: nano_vla's cameras learn from actions alone")
        if PLACES in batch and self.sizes[1]:
            label = PLACE_SCALE * batch[PLACES].to(places)
            found["places"] = (places - label.where(~label.isnan(), places)).abs().mean(-1)
        elif self.sizes[1] and trained:
            self._warn("these data tell no places: the loss that policy.places_weight weighs is left out")
        elif self.sizes[1]:
            raise UserError(
                "policy.places_weight needs demonstrations that tell where things are: "
                "robo-reward collect recording.places=true, or set it to 0"
            )
        return found

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

    def losses(self, seen: Sequence[Seen], moved: Sequence[Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross-entropies (R,) in nats, summed over cameras and places; nothing where the data tell no points.

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
        found = [self._loss(k, seen[k].answers, moved[k], batch) for k in known]
        return {"heat": torch.stack(found).sum(0)} if found else {}

    def _loss(self, camera: int, answers: Tensor, moved: Tensor, batch: Mapping[str, Any]) -> Tensor:
        name, crop = self._crops[camera]
        points = batch[POINTS + name].to(answers)
        if points.shape[1] > self._questions:
            raise UserError(
                f"the data point out {points.shape[1]} places, but policy.questions={self._questions}: set it higher"
            )
        return pointing_loss(answers[:, : points.shape[1]], in_crop(points, crop) + moved[:, None])


def told(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """What is logged of the losses, over samples that have labels: in deviations, metres and nats."""
    scales = {"waypoint": ("waypoint_deviations", 1.0), "places": ("places_metres", PLACE_SCALE)}
    scales["heat"] = ("heat_nats", 1.0)
    labelled = {key: loss.detach()[loss.detach() != 0] for key, loss in losses.items()}  # 0: nothing is known
    return {scales[key][0]: float(loss.mean()) / scales[key][1] for key, loss in labelled.items() if len(loss)}


def weighed(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor | float:
    """The weighed sum (B,) of the losses; 0 without any."""
    return torch.stack([weights[key] * loss for key, loss in losses.items()]).sum(0) if losses else 0.0
