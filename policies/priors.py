"""Priors: what demonstrations alone already tell about how to act, before anything is learned from reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from robo_reward.contracts import Flags, Floats, Landmarks
from robo_reward.errors import UserError, unknown_name
from robo_reward.policies.cloning import CloneSettings, clone_demonstrations
from robo_reward.policies.warp_plan import hand_response, make_plans
from robo_reward.policies.warped_replay import WarpedReplay
from robo_reward.seeding import derive_rng, seed_everything
from robo_reward.trace import Trace

PriorName = Literal["clone", "corrected", "warp"]
NAMES: tuple[PriorName, ...] = ("clone", "corrected", "warp")
SHIFT = 0.02
"""Metres of hand shift in the corrected clone, the setting of the trials."""


class Prior(Protocol):
    """Proposes actions for N worlds; ``context`` (N, C) is whatever it remembers that the state does not tell."""

    context_size: int

    def reset(self, fresh: Flags) -> None: ...

    def propose(self, state: Floats) -> tuple[Floats, Floats]: ...


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each of them known. UserError for an unknown one, or without any."""
    if not names:
        raise UserError(f"learner.priors=[] names no prior: give at least one of {', '.join(NAMES)}")
    for name in names:
        if name not in NAMES:
            raise unknown_name("prior", name, NAMES)
    return tuple(names)


def make_priors(
    names: Sequence[str],
    demonstrations: Sequence[Trace],
    random_episodes: Sequence[Trace],
    landmarks: Landmarks | None,
    seed: int,
) -> Mapping[str, Prior]:
    """The priors that this task allows, by name, in the order asked for.

    ``corrected`` and ``warp`` need a state with landmarks and random episodes; where the task has none they are left
    out, and a plain clone always remains; ``warp`` may bring a second reading of the demonstration (``make_plans``).
    Deterministic for a seed, so that a resumed run builds the same ones.

    Raises:
        UserError: for an unknown name, or without any.
    """
    made: dict[str, Prior] = {}
    names = checked_names(names)
    placed = landmarks is not None and len(random_episodes) > 0
    for name in names if placed else ["clone"]:
        seed_everything(seed, "prior", name)
        if name == "clone" or landmarks is None:
            made["clone"] = clone_demonstrations(demonstrations, CloneSettings())
            continue
        undo = hand_response(random_episodes, landmarks)
        if name == "corrected":
            rng = derive_rng(seed, "corrected")
            settings = CloneSettings(shift=SHIFT)
            made[name] = clone_demonstrations(demonstrations, settings, landmarks, undo, rng)
        else:
            plans = make_plans(min(demonstrations, key=len), random_episodes, landmarks)
            made |= {kind: WarpedReplay(plan, landmarks, undo) for kind, plan in plans.items()}
    return made
