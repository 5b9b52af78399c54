"""The process in which a learner works while the arm moves.

Transitions flow one way, as files that the arm's loop wrote whole; weights flow the other way, as folders.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_reward.arm.episode import DEMONSTRATIONS, PRACTICE, episode_path, read_episode, stored
from robo_reward.arm.json_lines import JsonLines
from robo_reward.arm.learner import ArmLearner
from robo_reward.runs import atomic
from robo_reward.runs.checkpoint import load_state, save_state

WEIGHTS = "weights"
"""Folder of the run."""
PUBLISH_SECONDS = 2.0
KEPT = 3
"""Weights that are not deleted yet: the arm's loop may be reading the last but one."""
NICE = 5
"""Below the loop and the arm server, which must keep their beat."""


class LearnerWork:
    """The learner's side: what it was told, what it has to say. ``run``: the folder of the run."""

    def __init__(self, run: Path, config: Any, checkpoint: Path | None) -> None:
        from robo_reward.build import build, build_stack
        from robo_reward.chain_check import check_learners_discount
        from robo_reward.gathering import discount_of

        self.run, self.config = run, config
        demonstrations = [read_episode(path) for path in stored(run, DEMONSTRATIONS)]
        if "views" in config.reward_model and config.reward_model.views is None:
            config.reward_model.views = list(demonstrations[0].trace.frames)
        self.learner: ArmLearner = build(config.learner)
        self.stack = build_stack(config)
        check_learners_discount(self.stack.transforms, discount_of(config))
        self.version, self.heard = 0, 0
        self._told: dict[str, float] = {}
        self.learner.begin(demonstrations, self.stack, int(config.seed))
        if checkpoint is None:
            self._told |= dict(self.learner.prepare())
            for number in range(len(stored(run, PRACTICE))):  # stopped before the first checkpoint
                self.hear(number)
        else:
            self._restore(checkpoint)

    def _restore(self, checkpoint: Path) -> None:
        self._model("load", checkpoint)
        state, episodes = load_state(checkpoint, "learner"), [read_episode(p) for p in stored(self.run, PRACTICE)]
        self.learner.load(state, episodes)
        self.heard, self.version = len(episodes), int(state["version"])

    def hear(self, number: int) -> None:
        """An episode was played."""
        self.learner.hear(read_episode(episode_path(self.run, PRACTICE, number)))
        self.heard = number + 1

    def work(self) -> bool:
        """A little; whether there was anything to do."""
        done = self.learner.work()
        self._told |= dict(done or {})
        return done is not None

    def publish(self, idle: bool) -> dict[str, Any]:
        """Writes the weights as they are now; what is to be said of them."""
        self.version += 1
        with atomic.new_folder(self.run / WEIGHTS / f"{self.version:06d}") as folder:
            self.learner.acting("average").save(folder)
        for old in sorted((self.run / WEIGHTS).glob("[0-9]*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        told, self._told = self._told, {}
        return {"weights": self.version, "heard": self.heard, "idle": idle, "metrics": told}

    def save(self, folder: Path) -> None:
        """Everything that a resumed run needs besides the episodes."""
        save_state(folder, "learner", {**self.learner.state(), "version": self.version})
        self._model("save", folder)

    def finish(self, folder: Path) -> None:
        """The learned policy and the reward model, as other verbs read them."""
        from robo_reward.build import save_reward_model

        self.learner.acting("average").save(folder / "policy")
        save_reward_model(self.stack.model, self.config.reward_model, folder / "reward_model")

    def _model(self, what: str, folder: Path) -> None:
        from robo_reward.session import Saveable

        if isinstance(self.stack.model, Saveable):
            getattr(self.stack.model, what)(folder)


def serve(work: LearnerWork, line: JsonLines) -> None:
    """Works until the other side is gone: episodes, weights and requests between two slices of work."""
    line.write({"ready": True, **work.publish(idle=False)})
    published, new = time.monotonic(), False
    while not line.closed:
        busy = work.work()
        new = new or busy
        for asked in line.read(0.0 if busy else 0.2):
            _answer(work, line, asked)
            new = new or asked["do"] == "hear"
        # idle is said once, with the weights that the last slice made
        if new and (not busy or time.monotonic() - published > PUBLISH_SECONDS):
            line.write(work.publish(idle=not busy))
            published, new = time.monotonic(), busy


def _answer(work: LearnerWork, line: JsonLines, asked: Mapping[str, Any]) -> None:
    if asked["do"] == "hear":
        work.hear(int(asked["number"]))
    elif asked["do"] in ("save", "finish"):
        getattr(work, asked["do"])(Path(asked["folder"]))
        line.write({"did": asked["do"]})


def main() -> int:
    """``python -m robo_reward.arm.learner_work RUN [CHECKPOINT]``."""
    import signal

    from omegaconf import OmegaConf

    from robo_reward.errors import UserError

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the arm's loop, which ends this one
    outgoing = os.dup(1)
    os.dup2(2, 1)  # libraries chatter
    os.nice(NICE)
    run, line = Path(sys.argv[1]), JsonLines(0, outgoing)
    try:
        import torch

        config: Any = OmegaConf.load(run / "config.yaml")
        torch.set_num_threads(int(config.threads))
        serve(LearnerWork(run, config, Path(sys.argv[2]) if len(sys.argv) > 2 else None), line)
    except UserError as error:
        line.write({"error": str(error)})
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
