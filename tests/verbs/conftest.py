"""One tiny training run on Meta-World that the tests of several verbs look at."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # fit_episodes, for the tests of fit

OVERRIDES = (
    "seed=3 rollouts=16 negatives.random=3 negatives.replay=3 episodes=1 evaluate_every_episodes=1 video=false "
    "env.task=drawer-open env.height=32 env.width=32 env.horizon=60 "
    "reward_model.fit.steps=20 reward_model.refit_steps=4 reward_model.members=2 judge.steps=10 "
    "learner.audition=1 learner.offset_rollouts=2 learner.trial=2 learner.evaluate_every=8 "
    "learner.checkpoint_every=5 learner.refit_every=4 accept_refused_reward=true"
)
TINY = OVERRIDES.split()


def train(folder: Path, more: Sequence[str] = ()) -> int:
    """Runs the tiny job in this process; the exit code."""
    from robo_reward import cli

    return cli.run(["train", *TINY, f"run_dir={folder}", *more])


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished tiny run."""
    folder = tmp_path_factory.mktemp("train") / "run"
    assert train(folder) == 0
    return folder


@pytest.fixture(scope="session")
def tiny_words() -> list[str]:
    """The overrides of the tiny run."""
    return list(TINY)


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four demonstrations of one paper task."""
    from fit_episodes import demonstration

    from robo_reward.data.datasets import write_dataset

    folder = tmp_path_factory.mktemp("data") / "right"
    write_dataset([demonstration(seed=k) for k in range(4)], folder, images=True)
    return folder


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four demonstrations of the opposite task."""
    from fit_episodes import demonstration

    from robo_reward.data.datasets import write_dataset

    folder = tmp_path_factory.mktemp("data") / "left"
    write_dataset([demonstration("turn back", mirrored=True, seed=9 + k) for k in range(4)], folder, images=True)
    return folder
