"""fit: from an expert, from datasets, for several tasks; what is held out stays out; what cannot be fitted is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fit_episodes import QUICK, demonstration, episodes, fit
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward import cli
from robo_reward.audit_record import read_record
from robo_reward.build import load_reward_model
from robo_reward.errors import UserError
from robo_reward.fitting.episodes import Episode, check_pictures, episode_horizon, step_negatives, stopped_copies
from robo_reward.fitting.splits import split

LONG = 500


def test_the_expert_demonstrates_and_held_out_episodes_stay_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["env.height=32", "env.width=32", "env.horizon=60"]
    words = ["env=metaworld", "env.task=door-open", "demos=4", "negatives.random=4", "negatives.replay=4", *size]
    assert fit(words, tmp_path / "run") == 0
    told = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert told["env"] == "metaworld/door-open"
    assert (told["demos"], told["rollouts"], told["env_steps"]) == (4, 8, 8 * 30)
    assert (told["used_env_reward"], told["used_env_success"]) == (False, False)
    assert told["reward_audit"] in ("pass", "care", "refuse")
    stored = json.loads((tmp_path / "run" / "reward_model" / "split.json").read_text())
    for part, count in (("demonstrations", 4), ("negatives", 8)):
        names = {
            side: {(e["origin"], e["source"], e["number"]) for e in stored[part][side]}
            for side in ("fitted", "held_out")
        }
        assert len(names["fitted"] | names["held_out"]) == count
        assert not names["fitted"] & names["held_out"]
        assert len(names["held_out"]) == count // 4
    out = capsys.readouterr().out
    place = f"reward_model.path={tmp_path / 'run' / 'reward_model'}"
    assert f"robo-reward train {place} env=metaworld env.task=door-open" in out
    assert "audit on 1 held-out demonstration(s), 2 held-out negative(s)" in out


def test_one_model_of_two_tasks_tells_them_apart_by_the_instruction(right: Path, left: Path, tmp_path: Path) -> None:
    words = [f"data=[{right},{left}]", "demos=3", f"reward_model.fit.steps={LONG}", "reward_model.encoder=state"]
    assert fit(words, tmp_path / "run") == 0
    model = load_reward_model(tmp_path / "run")
    ends: dict[str, float] = {}
    for task, mirrored in (("go right", False), ("turn back", True)):
        seen = model.estimate_episode(demonstration(task, mirrored, seed=77).every(3))
        assert seen.progress[-1] - seen.progress[0] > 0.4, "each task progresses under its own instruction"
        ends[task] = float(seen.progress[-1])
    wrong = model.estimate_episode(demonstration("go right", mirrored=True, seed=78).every(3))
    assert wrong.progress[-1] < ends["turn back"], "the other task's end is worth less under this instruction"


def test_a_saved_step_prm_goes_on_with_the_demonstration_of_another_task(
    right: Path, left: Path, tmp_path: Path
) -> None:
    words = ["reward_model=step_prm", "reward_model.fit.steps=60", "demos=2", f"run_dir={tmp_path / 'first'}"]
    assert cli.run(["fit", f"data={right}", *words]) == 0
    stored = (tmp_path / "first" / "reward_model" / "model.yaml").read_text()
    assert (
        cli.run(["fit", f"data={left}", f"adapt_from={tmp_path / 'first'}", "demos=1", f"run_dir={tmp_path}/on"]) == 0
    )
    assert (tmp_path / "on" / "reward_model" / "model.yaml").read_text() == stored
    before, after = load_reward_model(tmp_path / "first"), load_reward_model(tmp_path / "on")
    trace = demonstration("turn back", mirrored=True, seed=77).every(3)
    assert not np.allclose(before.estimate_episode(trace).progress, after.estimate_episode(trace).progress)
    record = read_record(tmp_path / "on" / "reward_model")
    assert record is not None
    assert record.current, "the short audit is about these weights"


def test_only_models_that_can_are_adapted(right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit([f"data={right}"], tmp_path / "first") == 0
    assert cli.run(["fit", f"data={right}", f"adapt_from={tmp_path / 'first'}", f"run_dir={tmp_path / 'on'}"]) == 2
    assert "cannot be adapted" in capsys.readouterr().err


def test_all_views_of_a_dataset_are_read_unless_named(right: Path, tmp_path: Path) -> None:
    assert fit([f"data={right}"], tmp_path / "all") == 0
    assert load_reward_model(tmp_path / "all").needs.views == ("front", "top")
    assert fit([f"data={right}", "reward_model.views=[top]"], tmp_path / "one") == 0
    assert load_reward_model(tmp_path / "one").needs.views == ("top",)


def test_states_serve_where_there_are_no_pictures(right: Path, tmp_path: Path) -> None:
    assert fit([f"data={right}", "reward_model.encoder=state"], tmp_path / "run") == 0
    model = load_reward_model(tmp_path / "run")
    assert model.needs.views == ()
    assert model.estimate_episode(demonstration().every(3)).progress.shape == (9,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "fit needs demonstrations"),
        (["data=DATA", "reward_model.views=[frnt]"], "Known: front, top"),
        (["data=nowhere/at/all"], "no dataset folder"),
        (["data=DATA", "demos=0"], "demos=0 must be a whole number of 1 or more"),
        (["data=DATA", "negatives.stopped=-1"], "negatives.stopped=-1 must be"),
        (["data=DATA", "held_out=1"], "held_out=1 must be"),
        (["data=DATA", "reward_model.stride=20"], "two strides"),
        (["data=DATA", "reward_model=transport"], "no simulator (env=none)"),
        (["data=DATA", "reward_model=env_dense"], "not learned"),
        (["data=DATA", "reward_model.path=DATA"], "fitted already"),
        (["data=DATA", "adapt_from=nowhere/at/all"], "holds no reward model"),
    ],
)
def test_what_cannot_be_fitted(
    words: list[str], message: str, right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = [] if "reward_model=env_dense" in words else QUICK
    given = [word.replace("DATA", str(right)) for word in words]
    assert cli.run(["fit", *quick, *given, f"run_dir={tmp_path / 'run'}"]) == 2
    assert message in capsys.readouterr().err


def test_a_verb_that_steps_refuses_to_go_without_a_simulator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["collect", "env=none", f"data_dir={tmp_path / 'data'}"]) == 2
    assert "env=none has no simulator" in capsys.readouterr().err


@given(count=st.integers(0, 30), share=st.floats(0, 0.99), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_split_is_a_partition(count: int, share: float, seed: int) -> None:
    one = demonstration()
    numbered = [Episode(one, "paper", k, f"video {k}") for k in range(count)]
    parts = split(numbered, share, np.random.default_rng(seed))
    assert sorted(e.number for e in parts.fitted + parts.held_out) == list(range(count))
    assert len(parts.held_out) == int(np.floor(share * count))
    assert count == 0 or parts.fitted, "something is always left to fit on"


def test_stopped_copies_freeze_before_success_and_change_nothing_before() -> None:
    source = episodes(2)
    made = stopped_copies(source, 6, np.random.default_rng(0))
    assert [e.number for e in made] == [0, 1, 0, 1, 0, 1]
    for copy in made:
        original, frozen = source[copy.number].trace, copy.trace
        assert frozen.success is None
        same = (frozen.frames["front"] == original.frames["front"]).all((1, 2, 3))
        stop = int(np.flatnonzero(same)[-1])
        assert same[: stop + 1].all()
        assert stop < 20, "success is never shown"
        assert (frozen.frames["front"][stop:] == original.frames["front"][stop]).all()
        assert (frozen.state[stop:] == original.state[stop]).all()
        assert (frozen.action[stop:] == 0).all()


def test_pictures_of_two_sizes_are_refused() -> None:
    mixed = [*episodes(1, "small"), Episode(demonstration(size=48), "large", 0)]
    with pytest.raises(UserError, match=r"32x32 \(front of small\), 48x48 \(front of large\)"):
        check_pictures(mixed, ["front"])


def test_replays_need_actions_of_the_worlds_size() -> None:
    world: Any = type("World", (), {"action_space": np.zeros(4), "name": "arm"})()
    with pytest.raises(UserError, match="actions of size 2, 'arm' takes 4"):
        step_negatives(world, [demonstration()], 0, 1, 0, [], 1)


@pytest.mark.parametrize(
    ("env", "expected"),
    [({"horizon": 80, "action_repeat": 2}, 80), ({"horizon": None}, None)],
)
def test_the_horizon_as_configured(env: dict[str, Any], expected: int | None) -> None:
    assert episode_horizon(env, [demonstration()]) == expected


def test_the_horizon_follows_the_longest_demonstration_where_the_world_has_none() -> None:
    from omegaconf import DictConfig, OmegaConf

    configs = Path(__file__).parents[2] / "configs" / "env"
    env = OmegaConf.load(configs / "metaworld.yaml")
    assert isinstance(env, DictConfig)
    assert episode_horizon(env, [demonstration()]) == 150
    env.action_repeat = 8
    # success at decision 20 of 8 steps each = 160 steps, half as much again = 240, in fifties 250
    assert episode_horizon(env, [demonstration()]) == 250
    for name in ("gym", "so101", "libero"):
        own = OmegaConf.load(configs / f"{name}.yaml")
        assert own.horizon is None
        assert episode_horizon(own, [demonstration()]) is None, name
