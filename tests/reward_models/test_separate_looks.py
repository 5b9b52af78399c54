"""Worlds out of step: with a stride, each episode is looked at as if it were alone, whoever else is due."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_reward.contract_tests import frame_transition, moving_square, observe_frames
from robo_reward.contracts import Estimate, Flags, RewardModel, Transition
from robo_reward.reward_models.ensemble import Ensemble
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.progress_settings import Head
from robo_reward.reward_models.remote.client import connect_remote
from robo_reward.reward_models.step_prm.hop_training import HopFit
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.reward_models.success_classifier import SuccessClassifier
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.separate_looks import LooksApart, SeparateLooks
from robo_reward.trace import Trace

from .reward_server import serving

STRIDE, STEPS, LATER = 3, 12, 4
Fitted = Callable[[], RewardModel]


def trained(model: ProgressModel | StepPrm | SuccessClassifier) -> RewardModel:
    torch.set_num_threads(1)
    model.fit([moving_square(0)], [moving_square(k, source="random") for k in (1, 2, 3, 4)], seed=0)
    return model


def progress(head: Head) -> ProgressModel:
    return ProgressModel(["front"], STRIDE, head, 1, interval=2, refit_steps=3, fit=FitSettings(steps=60, batch=16))


def step_prm() -> StepPrm:
    settings = HopFit(steps=30, slots=4, pairs=2, samples=100, chunk=1)
    return StepPrm(["front"], STRIDE, refit_steps=3, fit=settings)


def both() -> Ensemble:
    members = {"walks": trained(progress("milestones")), "sees": trained(SuccessClassifier(["front"], STRIDE, "conv"))}
    return Ensemble(members)


MODELS: dict[str, Fitted] = {
    "milestones": lambda: trained(progress("milestones")),
    "both": lambda: trained(progress("both")),
    "step_prm": lambda: trained(step_prm()),
    "success_classifier": lambda: trained(SuccessClassifier(["front"], STRIDE)),
    "ensemble": both,
}


def stepped(model: RewardModel) -> tuple[list[Estimate], list[Estimate], Trace, Trace]:
    """Two worlds; the second one's episode ends at step 4, where another begins: what was said at each one's looks."""
    first, cut, second = moving_square(20, STEPS), moving_square(21, STEPS, source="policy"), moving_square(22, STEPS)
    stack = RewardStack(model, [Level()])
    rows = [(first, 0), (cut, 0)]
    begun = stack.begin(observe_frames(rows), np.ones(2, bool))
    said: list[list[Estimate]] = [[begun.at(slice(0, 1))], []]
    for step in range(1, STEPS + 1):
        before = observe_frames(rows)
        rows = [(trace, frame + 1) for trace, frame in rows]
        seen = stack.step(_ended(frame_transition(before, observe_frames(rows), rows), step == LATER)).estimate
        if step % STRIDE == 0:
            said[0].append(seen.at(slice(0, 1)))
        if step > LATER and (step - LATER) % STRIDE == 0:
            said[1].append(seen.at(slice(1, 2)))
        if step == LATER:
            rows[1] = (second, 0)
            said[1] = [stack.begin(observe_frames(rows), np.array([False, True])).at(slice(1, 2))]
    return said[0], said[1], first, second


def _ended(transition: Transition, now: bool) -> Transition:
    transition.truncated[1] = now
    return transition


def agree(said: list[Estimate], whole: Estimate) -> None:
    assert np.ptp(whole.progress) > 0.05, "nothing happened, so nothing was tested"
    for name in ("progress", "gain", "success"):
        values = np.concatenate([getattr(e, name) for e in said])
        np.testing.assert_allclose(values, getattr(whole, name)[: len(values)], atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", MODELS)
def test_worlds_out_of_step_are_priced_like_whole_episodes(name: str) -> None:
    model = MODELS[name]()
    one, other, first, second = stepped(model)
    agree(one, model.estimate_episode(first.every(STRIDE)))
    agree(other, model.estimate_episode(second.every(STRIDE)))


def test_the_same_through_a_server(tmp_path: Path) -> None:
    model = trained(progress("milestones"))
    with serving(model, str(tmp_path / "s")) as (address, _):
        remote = connect_remote(address)
        one, other, first, second = stepped(remote)
        remote.close()
    agree(one, model.estimate_episode(first.every(STRIDE)))
    agree(other, model.estimate_episode(second.every(STRIDE)))


def test_asked_for_all_worlds_at_every_look_milestones_would_count_extra_frames() -> None:
    """What the separate looks are for: without them the same episode is worth something else."""
    model = trained(progress("milestones"))

    class Together:
        """The same model as one that knows no separate looks."""

        needs, begin, estimate = model.needs, model.begin, model.estimate
        estimate_episode = model.estimate_episode

    assert not isinstance(Together(), LooksApart)
    _, other, _, second = stepped(Together())
    whole = model.estimate_episode(second.every(STRIDE)).progress
    said = np.concatenate([e.progress for e in other])
    assert np.abs(said - whole[: len(said)]).max() > 1e-3


def test_gains_of_a_model_that_looks_at_all_worlds_add_up_until_a_worlds_turn() -> None:
    class Told:
        """Gains 0.1 at every look it is asked for."""

        needs = progress("both").needs

        def begin(self, first: object, fresh: Flags) -> Estimate:
            return Estimate(*(np.zeros(len(fresh), np.float32) for _ in range(4)))

        def estimate(self, transition: Transition) -> Estimate:
            zero = np.zeros(2, np.float32)
            return Estimate(zero, zero + np.float32(0.1), zero, zero)

        def estimate_episode(self, trace: Trace) -> Estimate:
            raise AssertionError

    looks = SeparateLooks(Told())
    rows = [(moving_square(0), 1), (moving_square(1), 1)]
    shown = observe_frames(rows)
    looks.begin(shown, np.ones(2, bool))
    transition = frame_transition(shown, shown, rows)
    assert looks.estimate_where(transition, np.array([True, False])).gain[0] == pytest.approx(0.1)
    assert looks.estimate_where(transition, np.array([False, True])).gain[1] == pytest.approx(0.2)
    assert looks.estimate_where(transition, np.array([True, True])).gain.tolist() == pytest.approx([0.2, 0.1])
    looks.begin(shown, np.array([True, False]))
    assert looks.estimate_where(transition, np.array([True, True])).gain.tolist() == pytest.approx([0.1, 0.1])
