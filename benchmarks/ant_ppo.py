"""What batched stepping buys PPO on Ant-v5: learning curves and wall time, ours against SB3's SubprocVecEnv.

Run: python benchmarks/ant_ppo.py [STEPS]. Stable-Baselines3's own PPO both times, with equal network and number of
steps. "same": equal hyperparameters, 16 environments. "best": each side's own number of environments, which the
throughput benchmark found fastest, with equally many samples in an iteration. Seeds run in turns, ours and theirs, one
process each; ``ratio`` is wall time ours / theirs. ORACLE: Gymnasium's own reward.
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
from typing import Any

import gymnasium
import numpy as np
from cells import Row, run_cells, write_result

CLAIM = "ant_ppo"
SEEDS = (100, 101, 102)
SAMPLES = 4096
"""In one iteration of PPO."""
WORLDS = {("ours", "same"): 16, ("sb3", "same"): 16, ("ours", "best"): 256, ("sb3", "best"): 4}
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
            self.paid, self.ended = np.zeros(self.num_envs), []
            return self.venv.reset()

        def step_async(self, actions: Any) -> None:
            self.start = time.perf_counter()
            self.venv.step_async(actions)

        def step_wait(self) -> Any:
            seen, rewards, dones, infos = self.venv.step_wait()
            self.seconds += time.perf_counter() - self.start
            self.paid += rewards
            self.ended += self.paid[dones].tolist()
            self.paid[dones] = 0.0
            return seen, rewards, dones, infos

    class Curve(BaseCallback):
        """One point for each iteration in which an episode ended."""

        points: list[list[float]] = []  # noqa: RUF012  (one run a process)

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            if env.ended:
                self.points.append([self.num_timesteps, time.perf_counter() - start, statistics.mean(env.ended)])
                env.ended = []

    torch.set_num_threads(1)
    worlds = WORLDS[side, setting]
    env = Timed(make_env(side, worlds, seed))
    curve = Curve()
    model = PPO("MlpPolicy", env, n_steps=SAMPLES // worlds, seed=seed, device="cpu", policy_kwargs=NETWORK, **SETTINGS)  # type: ignore[arg-type]
    start = time.perf_counter()
    model.learn(steps, curve)
    wall = time.perf_counter() - start
    env.close()
    last = [point[2] for point in curve.points[-10:]]
    row = {"side": side, "setting": setting, "seed": seed, "worlds": worlds, "steps": model.num_timesteps}
    found = {"wall_seconds": wall, "stepping_share": env.seconds / wall, "last_return": statistics.mean(last)}
    return row | found | {"load_at_end": os.getloadavg()[0], "curve": curve.points}


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
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    cells: dict[str, Callable[[], Row]] = {}
    for setting in ("same", "best"):
        for seed in SEEDS:
            for side in ("ours", "sb3"):
                cells[f"{setting}-{side}-{seed}-{steps}"] = partial(in_process, side, setting, seed, steps)
    rows = run_cells(CLAIM, cells, jobs=1)

    def middle(side: str, setting: str, key: str) -> float:
        return statistics.median(row[key] for row in rows if (row["side"], row["setting"]) == (side, setting))

    summary: Row = {"oracle": True, "steps": steps}
    for setting in ("same", "best"):
        summary[setting] = {
            "wall_ratio": middle("ours", setting, "wall_seconds") / middle("sb3", setting, "wall_seconds"),
            **{
                f"{side}_{key}": middle(side, setting, key)
                for side in ("ours", "sb3")
                for key in ("last_return", "stepping_share")
            },
        }
    write_result(CLAIM, f"python benchmarks/ant_ppo.py {steps}", rows, summary, SEEDS)
    print(summary)


if __name__ == "__main__":
    main()
