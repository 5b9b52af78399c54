"""A tiny SmolVLA through everything: imitation, GRPO by a learned reward, LeRobot's own evaluation. Code paths alone.

Run: python benchmarks/vla_chain.py [--task 6] [--horizon 24]. SmolVLA's real classes with a language model of a few
thousand random weights, made on the spot (tests/policies/vla/tiny_smolvlm.py); one demonstration of one libero_object
task, one update of GRPO, then lerobot-eval on what was saved. Success is not expected of it and says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cells import Row, write_result

ROOT = Path(__file__).resolve().parent.parent
CLAIM = "vla_chain"
TINY = {
    "load_vlm_weights": False, "num_vlm_layers": 2, "resize_imgs_with_padding": [32, 32], "max_state_dim": 8,
    "max_action_dim": 8, "num_steps": 2, "tokenizer_max_length": 16, "train_expert_only": False,
    "freeze_vision_encoder": False,
}  # fmt: skip


def called(program: str, words: Sequence[str]) -> tuple[float, str]:
    """Runs a program to its end: seconds, and what it printed."""
    python = [sys.executable, "-m", "robo_reward.cli"]
    command = [*(python if program == "robo-reward" else [str(Path(sys.executable).with_name(program))]), *words]
    paths = [str(ROOT), str(ROOT / "plugins/lerobot_policy_robo_reward"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(paths)}
    since = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return round(time.perf_counter() - since, 1), done.stdout


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


def chain(folder: Path, task: int, horizon: int) -> list[Row]:
    """The rows of all steps."""
    sys.path.append(str(ROOT / "tests/policies/vla"))
    from tiny_smolvlm import build_vlm  # type: ignore[import-not-found]

    vlm = build_vlm(folder / "vlm")
    world = ["env=libero", "env.suite=libero_object", f"env.task={task}", "env.meshes=light"]
    data, cloned, tuned = (folder / name for name in ("demos", "cloned", "tuned"))
    few = ["episodes=1", "evaluation_seeds=[1]", "video=false", "report=false", f"env.horizon={horizon}"]
    policy = [f"+policy.{key}={json.dumps(value)}" for key, value in TINY.items()]
    policy += [f"+policy.vlm_model_name={vlm}", "policy.chunk_size=8", "policy.n_action_steps=8"]
    seconds, _ = called("robo-reward", ["collect", *world, "demos=1", "recording.every=4", f"run_dir={data}"])
    dataset = next(path.parent.parent for path in data.rglob("meta/info.json"))
    rows: list[Row] = [{"step": "collect", "seconds": seconds, "demos": 1}]
    words = ["train", *world, *few, "learner=sft", "policy=smolvla", "policy.path=null", *policy, f"data={dataset}"]
    seconds, _ = called("robo-reward", [*words, "learner.updates=10", "learner.batch=8", f"run_dir={cloned}"])
    rows.append({"step": "sft", "seconds": seconds, **summary_of(cloned)})
    fit = ["judge=none", "audit=none", "negatives.random=0", "negatives.replay=0", "reward_model.views=[image]"]
    fit += ["reward_model.stride=8", "reward_model.members=1", "reward_model.fit.steps=20", f"data={dataset}"]
    group = ["learner.group.groups=1", "learner.group.most=1", "learner.group.size=2", "learner.group.min_spread=0"]
    words = ["train", *world, *few, *fit, *group, "learner=grpo", "policy=smolvla", f"policy.path={cloned}"]
    seconds, _ = called("robo-reward", [*words, "learner.updates=1", "learner.update.lr=1e-4", f"run_dir={tuned}"])
    rows.append({"step": "grpo", "seconds": seconds, **summary_of(tuned), "changed": changed(cloned, tuned)})
    words = [f"--policy.path={tuned / 'policy/pretrained_model'}", "--policy.device=cpu", "--env.type=libero"]
    words += ["--env.task=libero_object", f"--env.task_ids=[{task}]", f"--env.episode_length={horizon}"]
    words += ["--env.observation_height=128", "--env.observation_width=128", "--eval.n_episodes=1"]
    seconds, _ = called("lerobot-eval", [*words, "--eval.batch_size=1", f"--output_dir={folder / 'lerobot'}"])
    told = json.loads((folder / "lerobot/eval_info.json").read_text())["overall"]
    rows.append({"step": "lerobot-eval", "seconds": seconds, "pc_success": told["pc_success"], "n": told["n_episodes"]})
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", type=int, default=6)
    parser.add_argument("--horizon", type=int, default=24)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = chain(Path(folder), asked.task, asked.horizon)
    total = round(sum(row["seconds"] for row in rows), 1)
    write_result(CLAIM, "python benchmarks/vla_chain.py", rows, {"seconds": total, "complete": True}, [0])
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
