"""``learner.scenes``: still pictures of rearranged scenes beside demonstrations; cameras learn where things are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from robo_reward.contracts import World
from robo_reward.data.dataset_source import PLACES, open_dataset
from robo_reward.data.scenes import check_rearranges, draw_scenes
from robo_reward.errors import UserError
from robo_reward.policies.vla.features import short_name
from robo_reward.policies.vla.frames import EpisodeFrames, sizes_of
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace

WEIGHTS = ("places_weight", "heat_weight")
"""The auxiliary losses that scenes have labels for."""


class StillScenes:
    """``given``: so many of each task of the run's world, a dataset of such, or None: none.

    ``share``: of every batch that they take where they are more of all samples; None: as many as there are.
    """

    def __init__(self, given: str | int | None, share: float | None = None, batch: int = 64) -> None:
        """Raises UserError for a number of scenes or a share out of range."""
        whole = isinstance(given, int) and not isinstance(given, bool) and given >= 1
        if not (given is None or whole or isinstance(given, str)):
            raise UserError(
                f"learner.scenes={given} must be 1 or more of each task, a dataset's folder, or null: no scenes"
            )
        number = isinstance(share, int | float) and not isinstance(share, bool)
        if share is not None and not number:
            raise UserError(
                f"learner.scenes_share={share} must be a share of a batch, as 0.6, or null: as many as there are"
            )
        if given is not None and share is not None and not (share * batch >= 1 and share < 1):
            raise UserError(
                f"learner.scenes_share={share:g} must leave scenes and demonstrations at least one "
                f"of a batch's {batch} samples each, as 0.6 does of 16 (null: as many as there are)"
            )
        self.given, self.share = given, 1.0 if share is None else share

    @property
    def drawn(self) -> bool:
        """Whether the run's own world shows them."""
        return isinstance(self.given, int)

    def seen_by(self, config: Any) -> StillScenes:
        """Those that a policy with this config learns from; a blind one none.

        Raises:
            UserError: the policy learns no places, or the dataset is not there or tells none.
        """
        if self.given is None or getattr(config, "blind", False):
            return StillScenes(None)
        if not any(getattr(config, weight, 0) for weight in WEIGHTS):
            raise UserError(
                "learner.scenes teaches cameras where things are: set policy.places_weight=3 (policy=nano_vla)"
            )
        if isinstance(self.given, str) and PLACES not in open_dataset(self.given).features:
            raise UserError(
                f"dataset '{self.given}' tells no places: robo-reward collect scenes=300 writes one that does"
            )
        return self

    def check_world(self, world: World) -> None:
        """Raises UserError where the world is to show them and cannot."""
        if isinstance(self.given, int):
            check_rearranges(world, self.given)

    def add(self, frames: EpisodeFrames, views: Sequence[str], policy: LeRobotPolicy, world: World, seed: int) -> None:
        """Adds them behind the demonstrations.

        Raises:
            UserError: they do not go with policy or demonstrations, or as ``seen_by`` and ``check_world``.
        """
        for trace in self.seen_by(policy.config)._traces(views, world, seed):
            self._check_fits(trace, frames, policy)
            frames.add([trace], acted=False)  # one by one: small before the next are drawn

    def _traces(self, views: Sequence[str], world: World, seed: int) -> Iterable[Trace]:
        if isinstance(self.given, int):
            print(f"{self.given} rearranged scenes of each task are drawn: cameras learn from them", flush=True)
            return draw_scenes(world, self.given, derive_seed(seed, "sft scenes"), views)
        from robo_reward.data.datasets import read_dataset

        return () if self.given is None else read_dataset(self.given, views=views)

    def _check_fits(self, trace: Trace, frames: EpisodeFrames, policy: LeRobotPolicy) -> None:
        """Pictures that the policy's crop can be made of, and numbers as many as those that they are batched with."""
        for view, shown in trace.frames.items():
            if hasattr(policy.config, "check_crop"):
                try:
                    policy.config.check_crop(short_name(policy.names.theirs(view)), *shown.shape[1:3])
                except UserError as error:
                    raise UserError(f"learner.scenes={self.given}: policy.{error}") from error
        own, demonstrated = sizes_of(trace), frames.sizes()
        known = {"places": policy.config.places_size} if getattr(policy.config, "places_weight", 0) else {}
        others = known | demonstrated
        for what in own.keys() & others.keys():
            if own[what] != others[what]:
                lies = f"learner.scenes={self.given}: {what} of scenes are {own[what]} numbers, those of the "
                if what not in demonstrated:
                    raise UserError(f"{lies}policy {others[what]}: set policy.places_size={own[what]}")
                raise UserError(
                    f"{lies}demonstrations {others[what]}: draw scenes in the world of the demonstrations, with its "
                    "settings"
                )
