"""The reward that is kept: fitted once more on the policy's judged successes, in a process of its own.

Training is over by then, so the reward that trained the policy is the one that was audited; the grown one is for the
next run and for curves. The policy is evaluated meanwhile: what is fitted here never sees a verdict of the simulator.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.contracts import LearnedRewardModel, RewardModel
from robo_reward.errors import UserError
from robo_reward.seeding import derive_seed
from robo_reward.session import Judge, Saveable, Session
from robo_reward.trace import Trace

GROWN = 30
"""How many of the policy's judged successes the kept reward is fitted on."""
LAST_LINES = 8
"""Of a fit that failed, shown in the error."""


def annotated(trace: Trace, success: int, hold: int) -> Trace:
    """The episode until ``hold`` steps after ``success``, annotated as a success from there on."""
    cut = trace.cut(min(len(trace), success + hold))
    return replace(cut, success=np.arange(len(cut) + 1) >= success)


class Growth:
    """A fit under way in ``folder``, which goes with it; ``close`` ends it, finished or not."""

    def __init__(self, folder: Path, episodes: int) -> None:
        """Starts on what ``begin`` wrote."""
        self._folder, self._episodes = folder, episodes
        paths = os.pathsep.join(path for path in sys.path if path)
        with open(folder / "output.txt", "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "robo_reward.growing", str(folder)],  # the modules that this process has
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C is for the run, which ends this one
            )

    def finish(self, model: RewardModel) -> dict[str, float]:
        """Waits, and gives ``model`` the grown weights; the last losses.

        Raises:
            UserError: the process ended without them.
        """
        code = self._process.wait()
        if code != 0:
            said = (self._folder / "output.txt").read_text("utf-8", errors="replace").strip().splitlines()
            words = "\n  ".join(["its last words:", *said[-LAST_LINES:]] if said else ["it said nothing"])
            raise UserError(
                f"the process that fits the kept reward ended with code {code} (-9: most likely out of memory); the "
                f"trained policy is saved, resume=true fits and evaluates again; {words}"
            )
        assert isinstance(model, Saveable)
        model.load(self._folder / "grown")
        losses: dict[str, float] = json.loads((self._folder / "losses.json").read_text("utf-8"))
        return {f"grown/{k}": v for k, v in losses.items()} | {"grown/episodes": float(self._episodes)}

    def close(self) -> None:
        """Stops it if it still runs, and removes its folder."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def begin(session: Session, judge: Judge, recipe: Mapping[str, Any], hold: int, threads: int) -> Growth | None:
    """Starts to fit ``recipe``'s model anew, with the policy's judged successes as further scenes; None without any."""
    from robo_reward.data.trace_file import state_of
    from robo_reward.runs.checkpoint import save_state

    judged = [(row[0], judge.moment(row[0])) for row in session.played]
    successes = [annotated(trace, step, hold) for trace, step in judged if step is not None and step > 0]
    model = session.stack.model
    if not successes or not isinstance(model, Saveable):
        return None
    chosen = successes[:: max(1, len(successes) // GROWN)][:GROWN]
    traces: dict[str, Sequence[Trace]] = {
        "demonstrations": session.demonstrations,
        "experience": session.experience,
        "failures": [trace for trace, step in judged if step is None],
        "chosen": chosen,
    }
    given: dict[str, Any] = {name: [state_of(trace) for trace in kept] for name, kept in traces.items()}
    given |= {"recipe": dict(recipe), "seed": derive_seed(session.seed, "grown"), "threads": threads}
    folder = session.run.path / "growing"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        model.save(folder / "present")
        save_state(folder, "given", given)
        return Growth(folder, len(chosen))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def fit_kept(folder: Path) -> None:
    """The fit itself, of what ``begin`` wrote: weights to ``grown``, losses to ``losses.json``."""
    import torch

    from robo_reward.build import build_reward_model
    from robo_reward.runs import atomic
    from robo_reward.runs.checkpoint import load_state

    given = load_state(folder, "given")
    torch.set_num_threads(given["threads"])
    model = build_reward_model(given["recipe"])
    assert isinstance(model, LearnedRewardModel)
    assert isinstance(model, Saveable)
    model.load(folder / "present")
    kinds = ("demonstrations", "experience", "failures", "chosen")
    demonstrations, experience, failures, chosen = ([Trace(**state) for state in given[kind]] for kind in kinds)
    losses = model.fit(demonstrations, experience, given["seed"], chosen)
    model.refit([*experience, *failures], given["seed"])
    model.save(folder / "grown")
    atomic.write_json(folder / "losses.json", {name: float(value) for name, value in losses.items()})


if __name__ == "__main__":
    fit_kept(Path(sys.argv[1]))
