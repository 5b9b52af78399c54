"""What batched stepping buys PPO on Ant-v5: learning curves and wall time, ours against SB3's SubprocVecEnv.

Run: python benchmarks/ant_ppo.py [STEPS] [SEED ...]. Stable-Baselines3's own PPO both times, with equal network,
hyperparameters, number of steps and number of samples in an iteration. "same": 16 environments on either side, which
the throughput benchmark found to be SB3's fastest number of workers. "best": ours with 256. Seeds run in turns, one
process each; ``wall_ratio`` is seconds ours / theirs, ``cpu_ratio`` that of the processor seconds of all processes,
which a busy machine disturbs less. ORACLE: Gymnasium's own reward.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from cells import Row, run_cells, write_result

CLAIM = "ant_ppo"
SEEDS = (100, 101)
STEPS = 250_000
SAMPLES = 4096
"""In one iteration of PPO."""
WORLDS = {("ours", "same"): 16, ("ours", "best"): 256, ("sb3", "same"): 16}
SETTINGS = {
    "batch_size": 512,
    "n_epochs": 10,
    "learning_rate": 3e-4,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
}
NETWORK = {"net_arch": [64, 64], "log_std_init": -0.5}


def make_env(side: str, worlds: int, seed: int) -> Any:
    """A VecEnv of Ant-v5."""
    if side == "sb3":
        from stable_baselines3.common.vec_env import SubprocVecEnv

        env = SubprocVecEnv([lambda: gymnasium.make("Ant-v5")] * worlds)
        env.seed(seed)
        return env
    from robo_reward.envs.locomotion.make_gym import make_world
    from robo_reward.reward_models.env_reward import EnvReward
    from robo_reward.reward_stack import RewardStack
    from robo_reward.rewarded_env import RewardedEnv

    return RewardedEnv(make_world("Ant-v5", worlds, oracle="reward"), RewardStack(EnvReward("reward"), []), seed)


def learn(side: str, setting: str, seed: int, steps: int) -> Row:
    """Trains and notes the mean return of the episodes of each iteration, and the seconds spent in ``env.step``."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnvWrapper

    class Timed(VecEnvWrapper):
        """Adds up the seconds of steps and the rewards of episodes."""

        seconds = 0.0

        def reset(self) -> Any:
            self.paid = np.zeros(self.num_envs)
            self.step_rewards: list[float] = []
            self.ended: list[float] = []
            return self.venv.reset()

        def step_async(self, actions: Any) -> None:
            self.start = time.perf_counter()
            self.venv.step_async(actions)

        def step_wait(self) -> Any:
            seen, rewards, dones, infos = self.venv.step_wait()
            self.seconds += time.perf_counter() - self.start
            self.paid += rewards
            self.step_rewards.append(float(rewards.mean()))
            self.ended += self.paid[dones].tolist()
            self.paid[dones] = 0.0
            return seen, rewards, dones, infos

    class Curve(BaseCallback):
        """For each iteration: steps, seconds, mean reward of a step, mean return of the episodes that ended."""

        points: list[list[float | None]] = []  # noqa: RUF012  (one run a process)

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            returned = statistics.fmean(env.ended) if env.ended else None
            reward = statistics.fmean(env.step_rewards)
            self.points.append([self.num_timesteps, time.perf_counter() - start, reward, returned])
            env.ended, env.step_rewards = [], []

    torch.set_num_threads(1)
    worlds = WORLDS[side, setting]
    env = Timed(make_env(side, worlds, seed))
    curve = Curve()
    model = PPO("MlpPolicy", env, n_steps=SAMPLES // worlds, seed=seed, device="cpu", policy_kwargs=NETWORK, **SETTINGS)  # type: ignore[arg-type]
    start, spent = time.perf_counter(), processor_seconds(env.venv)
    model.learn(steps, curve)
    wall, spent = time.perf_counter() - start, processor_seconds(env.venv) - spent
    env.close()
    last = curve.points[-10:]
    row = {"side": side, "setting": setting, "seed": seed, "worlds": worlds, "steps": model.num_timesteps}
    found = {
        "wall_seconds": wall,
        "cpu_seconds": spent,
        "stepping_share": env.seconds / wall,
        **ends(last),
    }
    return row | found | {"load_at_end": os.getloadavg()[0], "curve": curve.points}


def processor_seconds(env: Any) -> float:
    """Of this process so far, and of SB3's workers (Linux only)."""
    ticks = 0
    for worker in getattr(env, "processes", []):
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def ends(points: list[list[float | None]]) -> Row:
    """Mean reward of a step in the last iterations; mean return where episodes ended.

    Many worlds end few episodes in so few steps, and the short ones first: compare rewards.
    """
    returns = [point[3] for point in points if point[3] is not None]
    reward = statistics.fmean(point[2] for point in points if point[2] is not None)
    return {"last_reward_per_step": reward, "last_return": statistics.fmean(returns) if returns else None}


def in_process(side: str, setting: str, seed: int, steps: int) -> Row:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "cell", side, setting, str(seed), str(steps)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    """All cells in turns; ratios of medians over the seeds."""
    if sys.argv[1:2] == ["cell"]:
        print(json.dumps(learn(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
        return
    numbers = [int(word) for word in sys.argv[1:]]
    steps, seeds = (numbers[0], numbers[1:] or list(SEEDS)) if numbers else (STEPS, list(SEEDS))
    cells: dict[str, Callable[[], Row]] = {}
    for seed in seeds:
        for side, setting in WORLDS:
            cells[f"{side}-{setting}-{seed}-{steps}"] = partial(in_process, side, setting, seed, steps)
    rows = run_cells(CLAIM, cells, jobs=1)

    def middle(side: str, setting: str, key: str) -> float:
        found = [row[key] for row in rows if (row["side"], row["setting"]) == (side, setting)]
        return float(statistics.median(found))

    summary: Row = {"oracle": True, "steps": steps}
    for side, setting in WORLDS:
        summary[f"{side}_{setting}"] = {
            key: middle(side, setting, key)
            for key in ("wall_seconds", "cpu_seconds", "stepping_share", "last_reward_per_step")
        }
    for setting in ("same", "best"):
        for kind in ("wall", "cpu"):
            ours, theirs = (summary[name][f"{kind}_seconds"] for name in (f"ours_{setting}", "sb3_same"))
            summary[f"{kind}_ratio_{setting}"] = ours / theirs
    write_result(CLAIM, f"python benchmarks/ant_ppo.py {' '.join(map(str, [steps, *seeds]))}", rows, summary, seeds)
    print(summary)


if __name__ == "__main__":
    main()
