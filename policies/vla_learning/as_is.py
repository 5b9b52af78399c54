"""A trained policy as it is: nothing is learned, but there is a run that evaluate, adapt and deploy can go on from."""

from __future__ import annotations

from robo_reward.contracts import Policy
from robo_reward.errors import UserError
from robo_reward.policies.vla_learning.given_policy import GivenPolicy
from robo_reward.policies.vla_learning.grpo import built_policy
from robo_reward.session import Session


class AsIsLearner(GivenPolicy):
    """Takes ``policy.path`` (a hub id, a LeRobot checkpoint, a run), checked against the world's names and sizes.

    ``updates``: 0, which ends it.
    """

    name = "as_is"
    needs_reward = False
    needs_demonstrations = False
    takes_stopper = False

    def __init__(self, updates: int = 0, device: str = "cpu", seed: int = 0) -> None:
        """Raises UserError for updates."""
        if updates:
            raise UserError(f"learner.updates={updates}: learner=as_is learns nothing; use learner=sft or grpo")
        self._device, self._seed = device, seed

    def learn(self, session: Session) -> Policy:
        """The policy.

        Raises:
            UserError: there is none, or it does not fit the world.
        """
        policy = built_policy(self._recipe, session, self._device, self._seed, self.name)
        session.notes |= {"prior": policy.config.type, "start": self._recipe.path}
        return policy
