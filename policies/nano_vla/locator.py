"""What cameras tell of places, learned beside the actions: where the hand goes next, and where things are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError

WAYPOINT = "observation.waypoint"
PLACES = "observation.places"
PLACE_SCALE = 10.0
"""Places are told in decimetres, so that their numbers are near one."""


class Locator(nn.Module):
    """Features (B, F) -> (B, size): how far the hand still is from where its fingers next move, and where things are.

    ``waypoint``: size of that label, 0 without one; ``places``: likewise. Both lie in ``batch`` while training only.
    """

    def __init__(self, features: int, hidden: int, waypoint: int, places: int) -> None:
        super().__init__()
        self.sizes, self.size = [waypoint, places], waypoint + places
        self.net = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, self.size))
        self._warned = False

    def forward(self, features: Tensor) -> Tensor:
        """(B, size) float32."""
        located: Tensor = self.net(features.float()).float()
        return located

    def losses(self, located: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Mean absolute errors (B,): ``waypoint`` in its deviations, 0 where none is known, ``places`` in
        decimetres.

        Raises:
            UserError: places are to be learned and the data do not tell them.
        """
        waypoint, places = located.split(self.sizes, -1)
        found: dict[str, Tensor] = {}
        if WAYPOINT in batch and self.sizes[0]:
            label = batch[WAYPOINT].to(waypoint)
            known = ~label.isnan()
            found["waypoint"] = (waypoint - label.where(known, waypoint)).abs().mean(-1)
        elif self.sizes[0] and not self._warned:
            self._warned = True
            warnings.warn("this loader tells no waypoints: nano_vla's cameras learn from actions alone", stacklevel=2)
        if self.sizes[1]:
            if PLACES not in batch:
                raise UserError(
                    "policy.places_weight needs demonstrations that tell where things are: "
                    "robo-reward collect recording.places=true, or set it to 0"
                )
            found["places"] = (places - PLACE_SCALE * batch[PLACES].to(places)).abs().mean(-1)
        return found


def told(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """What is logged of the losses: ``waypoint_deviations`` and ``places_metres``."""
    scales = {"waypoint": ("waypoint_deviations", 1.0), "places": ("places_metres", PLACE_SCALE)}
    return {scales[key][0]: float(loss.detach().mean()) / scales[key][1] for key, loss in losses.items()}


def weighed(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor | float:
    """The weighed sum (B,) of the losses; 0 without any."""
    return torch.stack([weights[key] * loss for key, loss in losses.items()]).sum(0) if losses else 0.0
