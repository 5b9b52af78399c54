"""The progress, transport and guard models on a small world of our own: a bright square that moves to a corner."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.reward_models.audit.metrics import value_order_correlation
from robo_reward.reward_models.audit.short_audit import ShortAudit
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.success_guard import SuccessGuard
from robo_reward.reward_models.transport import TransportModel
from robo_reward.trace import Source, Trace

QUICK = FitSettings(steps=60, batch=16)
SIZE = 32


def picture(position: float, seed: int = 0) -> NDArray[np.uint8]:
    """A dark frame with a bright square at ``position`` in [0, 1] of its diagonal."""
    frame = np.full((SIZE, SIZE, 3), 40, np.uint8)
    frame += np.random.default_rng(seed).integers(0, 8, frame.shape, dtype=np.uint8)
    corner = round(position * (SIZE - 8))
    frame[corner : corner + 8, corner : corner + 8] = 220
    return frame


def episode(
    positions: NDArray[np.floating[Any]], source: Source, success_at: int | None = None, task: str = "push"
) -> Trace:
    steps = len(positions) - 1
    success = None if success_at is None else np.arange(steps + 1) >= success_at
    return Trace(
        task=task,
        state=positions[:, None].astype(np.float32),
        action=np.diff(positions)[:, None].astype(np.float32),
        frames={"front": np.stack([picture(p, k) for k, p in enumerate(positions)])},
        frame_steps=np.arange(steps + 1),
        fps=10.0,
        source=source,
        success=success,
    )


def demonstration(steps: int = 24) -> Trace:
    return episode(np.minimum(np.arange(steps + 1) / (steps - 6), 1.0), "demonstration", success_at=steps - 6)


def wandering(seed: int) -> Trace:
    rng = np.random.default_rng(seed)
    return episode(np.abs(np.cumsum(rng.normal(0, 0.02, 25))).clip(0, 0.3), "random")


@pytest.fixture(scope="module")
def fitted() -> TransportModel:
    model = TransportModel(["front"], stride=1, members=2, refit_steps=30, fit=QUICK)
    model.fit([demonstration()], [wandering(k) for k in range(4)], seed=0)
    return model


def test_progress_orders_an_unseen_success_and_stays_low_on_random(fitted: TransportModel) -> None:
    unseen = fitted.estimate_episode(episode(np.linspace(0, 1, 15), "dataset"))
    assert value_order_correlation(unseen.progress) > 0.95
    assert unseen.progress[-1] > 0.6
    assert fitted.estimate_episode(wandering(99)).progress.max() < 0.4


def test_match_prefers_the_demonstrated_way_to_resting_at_its_end(fitted: TransportModel) -> None:
    way = fitted.estimate_episode(demonstration()).match
    resting = fitted.estimate_episode(episode(np.full(25, 1.0), "policy")).match
    assert way is not None
    assert resting is not None
    assert way.mean() > resting.mean() + 0.2


def test_refitting_lowers_what_the_policy_is_paid_for_where_it_rests(fitted: TransportModel) -> None:
    rests = episode(np.full(25, 0.8), "policy")
    before = fitted.estimate_episode(rests).success.mean()
    for seed in range(5):
        fitted.refit([rests], seed, steps=60)
    assert fitted.estimate_episode(rests).success.mean() < max(before, 0.3)
    assert fitted.estimate_episode(demonstration()).success[-1] > fitted.estimate_episode(rests).success[-1]


def test_the_same_seed_fits_the_same_model_and_it_survives_the_disk(tmp_path: Path) -> None:
    models = [ProgressModel(["front"], stride=1, members=2, head="both", fit=QUICK) for _ in range(3)]
    for model in models[:2]:
        model.fit([demonstration()], [wandering(1)], seed=7)
    models[0].save(tmp_path)
    models[2].load(tmp_path)
    seen = [m.estimate_episode(wandering(5)) for m in models]
    for other in seen[1:]:
        assert np.array_equal(seen[0].progress, other.progress)
        assert np.array_equal(seen[0].success, other.success)


def test_a_model_for_other_views_is_refused(fitted: TransportModel, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    with pytest.raises(UserError, match="views"):
        TransportModel(["side"], stride=1).load(tmp_path)


def test_own_successes_teach_progress_in_new_scenes() -> None:
    """Squares on another diagonal: without own episodes the model has never seen them."""

    def other(position: float) -> NDArray[np.uint8]:
        return picture(position)[:, ::-1].copy()

    positions = np.linspace(0, 1, 20)
    base = episode(positions, "policy", success_at=15)
    own = Trace(
        task=base.task,
        state=base.state,
        action=base.action,
        frames={"front": np.stack([other(p) for p in positions])},
        frame_steps=base.frame_steps,
        fps=10.0,
        source="policy",
        success=base.success,
    )
    model = ProgressModel(["front"], stride=1, members=1, fit=FitSettings(steps=120, batch=16))
    model.fit([demonstration()], [wandering(k) for k in range(3)], seed=0, own=[own])
    assert value_order_correlation(model.estimate_episode(own).progress) > 0.95


@pytest.mark.parametrize(
    ("demonstrations", "words"),
    [
        ([], "at least 1 demonstration"),
        ([demonstration().cut(3)], "two strides"),
        ([wandering(0)], "nowhere annotated"),
    ],
)
def test_useless_demonstrations_are_refused(demonstrations: list[Trace], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ProgressModel(["front"], stride=3, fit=QUICK).fit(demonstrations, [], seed=0)


def test_transport_needs_random_episodes() -> None:
    with pytest.raises(UserError, match="random episodes"):
        TransportModel(["front"], stride=1, fit=QUICK).fit([demonstration()], [], seed=0)


def test_an_unfitted_model_says_what_to_do() -> None:
    with pytest.raises(UserError, match="robo-reward fit"):
        ProgressModel(["front"]).estimate_episode(demonstration())


def test_the_guard_judges_whole_episodes() -> None:
    guard = SuccessGuard(["front"], stride=1, steps=80)
    guard.fit([demonstration()], [wandering(k) for k in range(4)], seed=0)
    done = episode(np.minimum(np.linspace(0, 1.3, 25), 1.0), "policy")
    assert guard.judge(done) >= 0.5
    assert guard.judge(wandering(50)) < 0.5
    moment = guard.moment(done)
    assert moment is not None
    assert 12 <= moment <= 24
    assert guard.moment(wandering(50)) is None


def test_the_audit_passes_a_good_reward_and_refuses_a_clock(fitted: TransportModel) -> None:
    held_out = [wandering(k) for k in range(20, 24)]
    assert ShortAudit().run(fitted, [demonstration()], held_out).verdict in ("pass", "care")
    untrained = TransportModel(["front"], stride=1, members=1, fit=FitSettings(steps=1, batch=8))
    untrained.fit([demonstration()], [wandering(0)], seed=3)
    assert ShortAudit().run(untrained, [demonstration()], held_out).verdict == "refuse"


# --- several instructions ---------------------------------------------------------------------------------------------


def test_instructions_that_cannot_be_told_apart_are_refused_and_spellings_are_one() -> None:
    model = ProgressModel([], stride=1, members=1, encoder="state", refit_steps=1, fit=QUICK)
    pairs = ["left bowl on right bowl", "right bowl on left bowl"], ["Push!", "push"], ["打开抽屉", "关上抽屉"]
    shown = [[replace(demonstration(), task=task) for task in pair] for pair in pairs]
    with pytest.raises(UserError, match="'left bowl on right bowl' and 'right bowl on left bowl' cannot be told apart"):
        model.fit(shown[0], [wandering(0)], seed=0)
    for fine in shown[1:]:
        assert model.fit(fine, [wandering(0)], seed=0)
