"""train hook=disturber and evaluate disturbance=sweep, from the command line to the curve that comes out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robo_reward import cli

SMALL = [
    "experiment=quadruped", "env.num_worlds=8", "env.threads=1", "steps=512", "learner.n_steps=32",
    "learner.layers=[16]", "learner.batch_size=128", "episodes=1", "evaluation_seeds=[1]",
    "evaluate_every_episodes=1", "env.horizon=60",
    "video=false", "report=false", "hook.curriculum.warmup=0", "hook.curriculum.ramp=0", "hook.curriculum.limit=40",
]  # fmt: skip
SWEEP = [
    "disturbance=sweep", "disturbance.forces=[0,40]", "disturbance.most=80", "disturbance.resolution=40",
    "disturbance.episodes=16", "disturbance.worlds=16", "disturbance.schedule.settle=0.1",
    "disturbance.schedule.seconds=0.7", "disturbance.practice.steps=512", "disturbance.practice.worlds=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def pushed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pushed") / "run"
    assert cli.run(["train", *SMALL, "hook=disturber", f"run_dir={folder}"]) == 0
    return folder


def curves(run: Path, folder: Path, *words: str) -> Any:
    assert cli.run(["evaluate", f"run={run}", f"run_dir={folder}", *SWEEP, *words]) == 0
    return json.loads((folder / "disturbance.json").read_text())["curves"]


def test_training_leaves_the_adversary_and_its_traces(pushed_run: Path) -> None:
    assert (pushed_run / "disturber" / "disturber.tensors.safetensors").exists()
    rows = [json.loads(line) for line in (pushed_run / "metrics.jsonl").read_text().splitlines()]
    traced = [row for row in rows if "disturber/lambda" in row]
    assert len(traced) == 2  # one of each rollout
    assert all({"disturber/ratio", "disturber/eta", "disturber/cost"} <= row.keys() for row in traced)


@pytest.mark.parametrize("hook", ["force_bounded", "random_pushes"])
def test_the_rivals_train(tmp_path: Path, hook: str) -> None:
    assert cli.run(["train", *SMALL, f"hook={hook}", f"run_dir={tmp_path / 'run'}"]) == 0


def test_the_same_seed_gives_the_same_curve_and_another_one_within_the_bands(pushed_run: Path, tmp_path: Path) -> None:
    one = curves(pushed_run, tmp_path / "one", "height=48", "width=64")
    same = curves(pushed_run, tmp_path / "same", "video=false")
    fewer = ("disturbance.kinds=[constant,sudden]", "disturbance.bodies=trunk", "disturbance.forces=40")
    other = curves(pushed_run, tmp_path / "other", "video=false", "seed=5", *fewer)
    assert one == same
    assert set(one) == {"constant", "sudden", "periodic", "worst"}
    shared = 0
    for kind, curve in other.items():
        mine = {p["newtons"]: p for p in one[kind]["points"]}
        for point in curve["points"]:
            if point["newtons"] in mine:
                shared += 1
                low, high = mine[point["newtons"]]["survival_ci95"]
                assert point["survival_ci95"][0] <= high
                assert low <= point["survival_ci95"][1]
    assert shared >= 6
    for name in ("disturbance.png", "report/index.html", "summary.json", "hardest.mp4"):
        assert (tmp_path / "one" / name).stat().st_size > 500, name
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert summary["notes"]["f50_sudden"]["newtons"] == one["sudden"]["f50"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["disturbance.bodies=[trnk]"], "did you mean 'trunk'"),
        (["disturbance.kinds=[suden]"], "did you mean 'sudden'"),
        (["disturbance.kinds=suden"], "did you mean 'sudden'"),
        (["disturbance.adversary.reward_bound=0"], "hook.reward_bound=0"),
        (["disturbance.most=0"], "disturbance.most=0"),
        (["disturbance.forces=[-5]"], "disturbance.forces"),
        (["disturbance.episodes=0"], "disturbance.episodes"),
        (["disturbance.schedule.hertz=50"], "disturbance.schedule.hertz=50 must be below 25"),
        (["disturbance.schedule=null"], "disturbance.schedule=None must have settle"),
        (["episodes=20"], "episodes=20 has no use beside disturbance=sweep: disturbance.episodes says"),
        (["evaluation_seeds=[1]"], "evaluation_seeds=[1] has no use beside disturbance=sweep"),
        (["view=true"], "view=True has no use"),
        (["execute=2"], "execute=2 has no use"),
        (["disturbance.practice.newtons=0"], "disturbance.practice.newtons=0"),
        (["disturbance.practice.steps=0", "disturbance.kinds=[worst]"], "disturbance.practice"),
    ],
)
def test_bad_sweeps_exit_2(
    pushed_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], match: str
) -> None:
    assert cli.run(["evaluate", f"run={pushed_run}", f"run_dir={tmp_path / 'e'}", *SWEEP, *words]) == 2
    assert match in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["hook=disturber", "hook.bodies=[trnk]"], "did you mean 'trunk'"),
        (["hook=disturber", "hook.eta=-1"], "hook.eta=-1"),
        (["hook=disturber", "hook.curriculum.limit=0"], "hook.curriculum.limit=0"),
        (["hook=random_pushes", "hook.seconds=0"], "hook.seconds=0"),
    ],
)
def test_bad_disturbers_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], match: str
) -> None:
    wanted = [
        word for word in SMALL if not (word.startswith("hook") and any(w.startswith(word.split("=")[0]) for w in words))
    ]
    assert cli.run(["train", *wanted, *words, f"run_dir={tmp_path / 'run'}"]) == 2
    assert match in capsys.readouterr().err
