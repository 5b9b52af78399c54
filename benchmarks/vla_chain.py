"""A tiny SmolVLA through everything: imitation, GRPO by a learned reward, LeRobot's own evaluation. Code paths alone.

Run: python benchmarks/vla_chain.py [--task 6] [--horizon 24] [--steps 5]. SmolVLA's real classes with a language model
of a few thousand random weights, made on the spot (tests/policies/vla/tiny_smolvlm.py); one demonstration of one
libero_object task, one update of GRPO, then lerobot-eval on what was saved. Last, the one command of the README,
``experiment=libero_smolvla``, from a base checkpoint of another robot (6 joints and three cameras, as those of
lerobot/smolvla_base) with everything made small. Success is not expected and says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cells import Row, run_cells, run_folder, write_result

ROOT = Path(__file__).resolve().parent.parent
CLAIM = "vla_chain"
TINY = {
    "load_vlm_weights": False, "num_vlm_layers": 2, "resize_imgs_with_padding": [32, 32], "max_state_dim": 8,
    "max_action_dim": 8, "num_steps": 2, "tokenizer_max_length": 16, "train_expert_only": False,
    "freeze_vision_encoder": False,
}  # fmt: skip


def called(program: str, words: Sequence[str]) -> float:
    """Runs a program to its end: seconds."""
    python = [sys.executable, "-m", "robo_reward.cli"]
    command = [*(python if program == "robo-reward" else [str(Path(sys.executable).with_name(program))]), *words]
    paths = [str(ROOT), str(ROOT / "plugins/lerobot_policy_robo_reward"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(paths)}
    since = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return round(time.perf_counter() - since, 1)


def summary_of(run: Path) -> Row:
    kept = (
        "status",
        "policy",
        "learner",
        "updates",
        "rollouts",
        "success_rate",
        "success_episodes",
        "used_env_success",
    )
    read = json.loads((run / "summary.json").read_text())
    return {key: read[key] for key in (*kept, "stand_in_visuals")}


def changed(before: Path, after: Path) -> int:
    """How many weights differ between two runs' policies."""
    from safetensors.torch import load_file

    one, two = (load_file(run / "policy/pretrained_model/model.safetensors") for run in (before, after))
    return sum(int((one[name] != two[name]).sum()) for name in one)


class Chain:
    """The steps, each of which goes on from what the one before left in ``runs/benchmarks/vla_chain``."""

    def __init__(self, task: int, horizon: int) -> None:
        self._task, self._horizon = task, horizon
        self._world = ["env=libero", "env.suite=libero_object", f"env.task={task}", "env.meshes=light"]
        self._few = ["episodes=1", "evaluation_seeds=[1]", "video=false", "report=false", f"env.horizon={horizon}"]
        self._demos, self._cloned, self._tuned = (_folder(name) for name in ("demos", "cloned", "tuned"))

    def collect(self) -> Row:
        words = ["collect", *self._world, "demos=1", "recording.every=4", f"data_dir={self._demos}"]
        return {"step": "collect", "seconds": called("robo-reward", words), "demos": 1}

    def sft(self) -> Row:
        sys.path.append(str(ROOT / "tests/policies/vla"))
        from tiny_smolvlm import build_vlm  # type: ignore[import-not-found]

        vlm = build_vlm(_folder("vlm"))
        policy = [f"+policy.{key}={json.dumps(value)}" for key, value in TINY.items()]
        policy += [f"+policy.vlm_model_name={vlm}", "policy.chunk_size=8", "policy.n_action_steps=8"]
        words = ["train", *self._world, *self._few, "learner=sft", "policy=smolvla", "policy.path=null", *policy]
        words += [f"data={self._data}", "learner.updates=10", "learner.batch=8", f"run_dir={self._cloned}"]
        return {"step": "sft", "seconds": called("robo-reward", words), **summary_of(self._cloned)}

    def grpo(self) -> Row:
        fit = ["judge=none", "audit=none", "negatives.random=0", "negatives.replay=0", "reward_model.views=[image]"]
        fit += ["reward_model.stride=8", "reward_model.members=1", "reward_model.fit.steps=20", f"data={self._data}"]
        group = ["learner.group.groups=1", "learner.group.most=1", "learner.group.size=2", "learner.group.min_spread=0"]
        words = ["train", *self._world, *self._few, *fit, *group, "learner=grpo", "learner.updates=1"]
        words += ["policy=smolvla", f"policy.path={self._cloned}", "learner.update.lr=1e-4", f"run_dir={self._tuned}"]
        seconds = called("robo-reward", words)
        changes = changed(self._cloned, self._tuned)
        return {"step": "grpo", "seconds": seconds, **summary_of(self._tuned), "changed": changes}

    def lerobot_eval(self) -> Row:
        words = [f"--policy.path={self._tuned / 'policy/pretrained_model'}", "--policy.device=cpu"]
        words += ["--env.type=libero", "--env.task=libero_object", f"--env.task_ids=[{self._task}]"]
        words += [
            f"--env.episode_length={self._horizon}",
            "--env.observation_height=128",
            "--env.observation_width=128",
        ]
        words += ["--eval.n_episodes=1", "--eval.batch_size=1", f"--output_dir={_folder('lerobot')}"]
        seconds = called("lerobot-eval", words)
        told = json.loads((_folder("lerobot") / "eval_info.json").read_text())["overall"]
        return {"step": "lerobot-eval", "seconds": seconds, "pc_success": told["pc_success"], "n": told["n_episodes"]}

    def one_command(self) -> Row:
        run = _folder("one_command")
        words = ["train", "experiment=libero_smolvla", "device=cpu", f"policy.path={self._base()}", f"run_dir={run}"]
        words += [
            f"env.task=[{self._task}]",
            "env.meshes=light",
            "env.num_worlds=1",
            "env.workers=in_process",
            "demos=2",
        ]
        words += [
            "env.height=128",
            "env.width=128",
            "env.horizon=160",
            "negatives.hollow=4",
            "reward_model.fit.steps=20",
        ]
        words += ["policy.n_action_steps=8", "learner.sft.updates=5", "learner.sft.batch=4", "learner.then.updates=1"]
        words += ["learner.then.group.groups=1", "learner.then.group.most=1", "learner.then.group.size=2"]
        words += ["learner.then.group.min_spread=0", "learner.then.update.epochs=1", "episodes=1", "video=false"]
        seconds = called("robo-reward", words)
        before = json.loads((run / "summary.json").read_text()).get("cloned_success_rate")
        return {"step": "one command", "seconds": seconds, **summary_of(run), "cloned_success_rate": before}

    def _base(self) -> Path:
        """A tiny stand-in for lerobot/smolvla_base: its sizes of state and action, its cameras, random weights."""
        import numpy as np

        from robo_reward.policies.vla.features import DataFacts
        from robo_reward.policies.vla.recipe import PolicyRecipe

        sys.path.append(str(ROOT / "tests/policies/vla"))
        from tiny_smolvlm import build_vlm  # type: ignore[import-not-found]

        stats = {key: {"mean": np.zeros(6), "std": np.ones(6)} for key in ("observation.state", "action")}
        facts = DataFacts("base", {f"camera{k}": (256, 256) for k in (1, 2, 3)}, 6, 6, stats)
        more = {"chunk_size": 8, "n_action_steps": 8, "vlm_model_name": str(build_vlm(_folder("vlm_base")))}
        PolicyRecipe("smolvla", **{**TINY, **more}).build(facts).save(_folder("base"))
        return _folder("base")

    @property
    def _data(self) -> Path:
        return next(path.parent.parent for path in self._demos.rglob("meta/info.json"))


def _folder(name: str) -> Path:
    return run_folder(CLAIM, name).resolve()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", type=int, default=6)
    parser.add_argument("--horizon", type=int, default=24)
    parser.add_argument("--steps", type=int, default=5, help="how many of the five steps")
    asked = parser.parse_args(arguments)
    chain = Chain(asked.task, asked.horizon)
    steps = {"collect": chain.collect, "sft": chain.sft, "grpo": chain.grpo, "lerobot_eval": chain.lerobot_eval}
    steps["one_command"] = chain.one_command
    rows = run_cells(CLAIM, dict(list(steps.items())[: asked.steps]), 1)
    if len(rows) == len(steps):
        total = round(sum(row["seconds"] for row in rows), 1)
        write_result(CLAIM, "python benchmarks/vla_chain.py", rows, {"seconds": total}, [0])
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
