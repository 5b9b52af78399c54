"""What learns beside an arm: the protocol of such learners, and the process in which one works while the arm moves.

Transitions flow one way, as files that the arm's loop wrote whole; weights flow the other way, as folders. What is said
between the two is one line of JSON at a time.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from robo_reward.arm_episode import ArmEpisode, read_episode
from robo_reward.contracts import Policy
from robo_reward.reward_stack import RewardStack
from robo_reward.runs import atomic
from robo_reward.runs.checkpoint import load_state, save_state

DEMONSTRATIONS, PRACTICE, WEIGHTS = "demonstrations", "practice", "weights"
"""Folders of the run."""
PUBLISH_SECONDS = 2.0
KEPT = 3
"""Weights that are not deleted yet: the arm's loop may be reading the last but one."""
NICE = 5
"""Below the loop and the arm server, which must keep their beat."""


class ArmLearner(Protocol):
    """Takes episodes of an arm, works a little whenever it is asked to, and gives a policy at any time."""

    def begin(self, demonstrations: Sequence[ArmEpisode], stack: RewardStack, seed: int) -> None: ...

    def prepare(self) -> Mapping[str, float]: ...

    def hear(self, episode: ArmEpisode) -> None: ...

    def work(self) -> Mapping[str, float] | None: ...

    @property
    def corrects(self) -> bool: ...

    def mode(self, number: int) -> str: ...

    def acting(self, mode: Any) -> Policy: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: Mapping[str, Any], episodes: Sequence[ArmEpisode]) -> None: ...


def episode_path(run: Path, folder: str, number: int) -> Path:
    """Where an episode of a run lies, without endings."""
    return run / folder / f"{number:06d}"


def stored(run: Path, folder: str) -> list[Path]:
    """The whole episodes of a run, in order."""
    return [path.with_suffix("") for path in sorted((run / folder).glob("*.json"))]


class LearnerWork:
    """The learner's side: what it was told, what it has to say. ``run``: the folder of the run."""

    def __init__(self, run: Path, config: Any, checkpoint: Path | None) -> None:
        from robo_reward.build import build, build_stack

        self.run, self.config = run, config
        demonstrations = [read_episode(path) for path in stored(run, DEMONSTRATIONS)]
        if "views" in config.reward_model and config.reward_model.views is None:
            config.reward_model.views = list(demonstrations[0].trace.frames)
        self.learner: ArmLearner = build(config.learner)
        self.stack = build_stack(config)
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


class Line:
    """JSON lines in both directions; ``ask`` never waits longer than it is told."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._in, self._out, self._rest = incoming, outgoing, b""
        self.closed = False

    def read(self, seconds: float) -> list[dict[str, Any]]:
        """What has come, waited for at most so long; ``closed`` once the other side is gone."""
        if b"\n" not in self._rest and not self.closed and select.select([self._in], [], [], seconds)[0]:
            more = os.read(self._in, 1 << 16)
            self.closed = not more
            self._rest += more
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def write(self, said: Mapping[str, Any]) -> None:
        """One line; nothing happens where the other side is gone, which ``read`` then says."""
        try:
            os.write(self._out, json.dumps(said).encode() + b"\n")
        except BrokenPipeError:
            self.closed = True


def serve(work: LearnerWork, line: Line) -> None:
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


def _answer(work: LearnerWork, line: Line, asked: Mapping[str, Any]) -> None:
    if asked["do"] == "hear":
        work.hear(int(asked["number"]))
    elif asked["do"] in ("save", "finish"):
        getattr(work, asked["do"])(Path(asked["folder"]))
        line.write({"did": asked["do"]})


def main() -> int:
    """``python -m robo_reward.arm_learner RUN [CHECKPOINT]``."""
    import signal

    from omegaconf import OmegaConf

    from robo_reward.errors import UserError

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the arm's loop, which ends this one
    outgoing = os.dup(1)
    os.dup2(2, 1)  # libraries chatter
    os.nice(NICE)
    run, line = Path(sys.argv[1]), Line(0, outgoing)
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
