"""Ensembles by hand: rules, uncertainty, needs, and members that are saved with the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from omegaconf import OmegaConf

from robo_reward.answer_counts import counts_of
from robo_reward.build import build_reward_model, load_reward_model, save_reward_model
from robo_reward.contract_tests import check_reset_isolation, check_saved, check_steps_agree, moving_square
from robo_reward.contracts import Estimate, Flags, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.reward_models.ensemble import RULES, Ensemble, Rule, combine
from robo_reward.reward_models.ensemble_members import merge_needs
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.trace import Trace
from robo_reward.traits import is_unfitted, traits_of


class Says:
    """Says the same about every frame."""

    def __init__(self, value: float, uncertainty: float = 0.0, match: float | None = None, **needs: Any) -> None:
        self.needs = Needs(**needs)
        self._said = value, uncertainty, match

    def _of(self, count: int) -> Estimate:
        value, uncertainty, match = self._said
        rows = np.full(count, value, np.float32)
        matched = None if match is None else np.full(count, match, np.float32)
        return Estimate(rows, rows, rows, np.full(count, uncertainty, np.float32), matched)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        return self._of(len(fresh))

    def estimate(self, transition: Transition) -> Estimate:
        return self._of(len(transition.terminated))

    def estimate_episode(self, trace: Trace) -> Estimate:
        return self._of(len(trace.frame_steps))


@pytest.mark.parametrize(
    ("rule", "caution", "value"),
    [("worst", 0.5, 1), ("mean", 0.5, 3), ("uncertainty_weighted", 0.5, 1.25), ("uncertainty_weighted", 0.1, 2.65)],
)
def test_golden_values(rule: Rule, caution: float, value: float) -> None:
    assert combine(np.array([[1.0], [2], [3], [6]]), rule, caution) == pytest.approx([value])


def test_precision_weights() -> None:
    # weights 1 / 0.1^2 = 100 and 1 / 0.2^2 = 25: (100 * 0.2 + 25 * 0.7) / 125
    members = {"sure": Says(0.2, 0.1), "unsure": Says(0.7, 0.2)}
    seen = Ensemble(members, "precision_weighted").estimate_episode(moving_square(0))
    assert seen.progress == pytest.approx(np.full(17, 0.3), abs=1e-6)
    certain = Ensemble({"a": Says(0.2, 0.0), "b": Says(0.4, 0.0)}, "precision_weighted")
    assert certain.estimate_episode(moving_square(0)).progress == pytest.approx(np.full(17, 0.3), abs=1e-6)


def test_the_uncertainty_is_the_spread_and_the_members_own() -> None:
    members = {"a": Says(0.2, 0.3), "b": Says(0.6, 0.1, match=0.5)}
    seen = Ensemble(members).estimate_episode(moving_square(0))
    # variance 0.04, mean of squares (0.09 + 0.01) / 2
    assert seen.uncertainty == pytest.approx(np.full(17, 0.3), abs=1e-6)
    assert seen.match is not None
    assert seen.match == pytest.approx(np.full(17, 0.5)), "of the members that match"
    assert Ensemble({"a": Says(0.2)}).estimate_episode(moving_square(0)).match is None


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1)),
    hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1)),
    st.sampled_from(RULES),
)
def test_no_rule_says_more_than_its_boldest_member(values: Any, uncertainty: Any, rule: Rule) -> None:
    joined = combine(values, rule, 0.5, uncertainty)
    assert (joined <= values.max(0) + 1e-9).all()
    assert (combine(values, "worst", 0.5) <= joined + 0.25).all()  # the variance of values in [0, 1] is at most 1/4
    alike = combine(np.repeat(values[:1], 3, 0), rule, 0.5, uncertainty)
    assert alike == pytest.approx(values[0])


def test_needs_are_merged_or_refused() -> None:
    merged = merge_needs({"a": Needs(("x", "y"), 2), "b": Needs(("y", "z"), 2, episode=True)})
    assert merged == Needs(("x", "y", "z"), 2, episode=True)
    for needs, said in (
        ({}, "at least one member"),
        ({"a": Needs(stride=2), "b": Needs(stride=3)}, r"other strides \(a: 2, b: 3\)"),
        ({"a": Needs(oracle="success")}, "simulator's own signal"),
    ):
        with pytest.raises(UserError, match=said):
            merge_needs(needs)
    with pytest.raises(UserError, match="did you mean 'worst'"):
        Ensemble({"a": Says(0.1)}, "worse")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="caution=-1 must be 0 or more"):
        Ensemble({"a": Says(0.1)}, caution=-1)


class Sized(Says):
    """Was fitted on square pictures."""

    def __init__(self, size: int | None) -> None:
        super().__init__(0.5, views=("front",))
        self.frame_size = None if size is None else (size, size)


def test_members_of_one_size_of_pictures_or_none() -> None:
    assert Ensemble({"a": Says(0.1), "b": Sized(48), "c": Sized(48)}).frame_size == (48, 48)
    with pytest.raises(UserError, match=r"other sizes \(first: 48x48, second: 96x96\).*reward_models="):
        Ensemble({"first": Sized(48), "plain": Says(0.1), "second": Sized(96)})
    loaded = Ensemble({"first": Sized(48), "second": Sized(None)})
    loaded.members["second"] = Sized(96)
    with pytest.raises(UserError, match="other sizes"):
        loaded.load(Path("any"))
    with pytest.raises(UserError, match=r"member 'old' .* 40x40, the demonstrations' 'front' is 48x48"):
        Ensemble({"old": Sized(40), "new": Reads(0.1)}, kept=["old"]).fit([moving_square(0)], [], 0)


def test_causal_members_make_a_causal_ensemble() -> None:
    ensemble = Ensemble({"a": LineReward(), "b": LineReward(), "c": Says(0.5)}, "uncertainty_weighted")
    seen = [moving_square(k, source="policy") for k in (1, 2, 3)]
    check_steps_agree(ensemble, seen)
    check_reset_isolation(ensemble, *seen)
    whole = Ensemble({"a": LineReward(), "slow": LineReward(episode=True)})
    with pytest.raises(UserError, match=r"member 'slow' .* whole episodes"):
        check_steps_agree(whole, seen)


def member(**more: Any) -> dict[str, Any]:
    return {
        "_target_": "robo_reward.reward_models.progress.ProgressModel",
        "views": ["front"],
        "stride": 1,
        "members": 1,
        "refit_steps": 2,
        "fit": {"_target_": "robo_reward.reward_models.progress_fit.FitSettings", "steps": 4},
        **more,
    }


def test_a_fitted_member_by_its_path_is_saved_with_the_whole(tmp_path: Path) -> None:
    demonstrations, negatives = [moving_square(0)], [moving_square(1, source="random")]
    config = OmegaConf.create(member())
    fitted = build_reward_model(config)
    assert isinstance(fitted, ProgressModel)
    fitted.fit(demonstrations, negatives, 0)
    save_reward_model(fitted, config, tmp_path / "member")
    whole = OmegaConf.create(
        {
            "_target_": "robo_reward.reward_models.ensemble.make_ensemble",
            "_recursive_": False,
            "models": {
                "old": {**member(members=3), "path": str(tmp_path / "member")},
                "new": member(head="hop", path=None),
            },
            "rule": "worst",
        }
    )
    ensemble = build_reward_model(whole)
    assert isinstance(ensemble, Ensemble)
    before = fitted.estimate_episode(moving_square(5)).progress.copy()
    assert not ensemble.fitted
    losses = ensemble.fit([moving_square(7)], negatives, 1)
    assert losses
    assert {name.split("/")[0] for name in losses} == {"new"}, "what came from a path stays as it is"
    assert {name.split("/")[0] for name in ensemble.refit(negatives, 1)} == {"old", "new"}, "as a fitted one alone is"
    save_reward_model(ensemble, whole, tmp_path / "whole")
    (tmp_path / "member").rename(tmp_path / "moved")
    back = load_reward_model(tmp_path / "whole")
    assert isinstance(back, Ensemble)
    np.testing.assert_allclose(back.members["old"].estimate_episode(moving_square(5)).progress, before, atol=1e-6)
    check_saved(ensemble, back, moving_square(6, source="policy"))


def test_who_has_nothing_left_to_fit_says_so() -> None:
    learned, fixed = Reads(0.1), Says(0.5)
    assert Ensemble({"a": learned, "b": fixed}, kept=["a"]).fitted
    assert Ensemble({"b": fixed}).fitted
    inner = Ensemble({"a": learned}, kept=["a"])
    assert Ensemble({"c": inner}).fitted
    assert not Ensemble({"c": inner, "d": Reads(0.1)}).fitted
    assert is_unfitted(Ensemble({"a": learned}), {})
    assert not is_unfitted(inner, {})
    assert not is_unfitted(Ensemble({"a": learned}), {"path": "FOLDER"})


def test_members_are_fitted_with_seeds_of_their_own() -> None:
    models = [build_reward_model(OmegaConf.create(member())) for _ in range(2)]
    ensemble = Ensemble({"a": models[0], "b": models[1], "fixed": Says(0.5)})
    losses = ensemble.fit([moving_square(0)], [moving_square(1, source="random")], 0)
    assert {key.split("/")[0] for key in losses} == {"a", "b"}
    a, b = (m.estimate_episode(moving_square(5)) for m in models)
    assert np.abs(a.progress - b.progress).max() > 1e-4
    assert {key.split("/")[0] for key in ensemble.refit([moving_square(2, source="policy")], 1)} == {"a", "b"}


def test_members_answers_are_counted_together() -> None:
    class Counting(LineReward):
        parse_failures, fallbacks, gives_match = 2, 1, False

    plain, two = LineReward(), Ensemble({"a": Counting(), "b": Counting(), "c": LineReward()})
    assert counts_of(two) == {"parse_failures": 4, "fallbacks": 2}
    assert counts_of(Ensemble({"a": plain})) == {}, "nobody counts: null, never 0"
    assert two.gives_match is None
    assert Ensemble({"a": Counting()}).gives_match is False


class Reads(Says):
    """Notes which failures it was fitted on."""

    reads_instructions, knows_progress, threshold = True, False, 0.7

    def fit(self, demonstrations: Any, negatives: Any, seed: int, own: Any = ()) -> dict[str, float]:
        self.shown = [t.source for t in negatives]
        return {}

    def refit(self, episodes: Any, seed: int) -> dict[str, float]:
        return {}

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


class Blind(Reads):
    reads_instructions, threshold = False, 0.9


def test_it_says_of_itself_what_its_members_do() -> None:
    one, two = Ensemble({"a": Reads(0.1)}), Ensemble({"a": Reads(0.1), "b": Blind(0.1)})
    assert traits_of(one) == traits_of(Reads(0.1))
    assert (two.reads_instructions, two.knows_progress, two.knows_success, two.threshold) == (True, False, True, 0.9)
    assert traits_of(Ensemble({"a": Reads(0.1), "b": Says(0.1)})).threshold is None, "not all have one"


def test_counterfactuals_are_shown_to_members_that_read() -> None:
    reads, blind = Reads(0.1), Blind(0.1)
    negatives = [moving_square(1, source="random"), moving_square(0, source="counterfactual")]
    Ensemble({"a": reads, "b": blind}).fit([moving_square(0)], negatives, 0)
    assert reads.shown == ["random", "counterfactual"]
    assert blind.shown == ["random"]
