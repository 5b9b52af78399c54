"""How fast one update of our SAC is against Stable-Baselines3's, with equal networks and batches, one torch thread.

Run: python benchmarks/learner_speed.py. Both are timed in turns in one process; the result is the ratio of processor
times.
"""

from __future__ import annotations

import statistics
import time

import gymnasium
import numpy as np
import torch
from cells import Row, write_result
from stable_baselines3 import SAC
from stable_baselines3.common.logger import configure

from robo_reward.policies.soft_actor_critic import Batch, SacSettings, SoftActorCritic

STATES, ACTIONS, BATCH, UPDATES, ROUNDS = 39, 4, 128, 200, 5


class Still(gymnasium.Env[np.ndarray, np.ndarray]):
    """Spaces of the right size; never stepped."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (STATES,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)


def theirs() -> SAC:
    """SB3's SAC with a filled buffer."""
    model = SAC("MlpPolicy", Still(), batch_size=BATCH, policy_kwargs={"net_arch": [128, 128]}, buffer_size=10_000)
    model.set_logger(configure(None, []))
    assert model.replay_buffer is not None
    rng = np.random.default_rng(0)
    for _ in range(2000):
        state, after = rng.normal(size=(2, 1, STATES)).astype(np.float32)
        action = rng.uniform(-1, 1, (1, ACTIONS)).astype(np.float32)
        model.replay_buffer.add(state, after, action, rng.random(1), np.zeros(1), [{}])
    return model


def ours() -> tuple[SoftActorCritic, Batch]:
    """Our SAC, a critic and an actor update on every batch as SB3 does."""
    agent = SoftActorCritic(STATES, ACTIONS, SacSettings(), timid=False)
    batch = Batch(
        torch.randn(BATCH, STATES),
        torch.rand(BATCH, ACTIONS),
        torch.rand(BATCH),
        torch.randn(BATCH, STATES),
        torch.zeros(BATCH),
    )
    return agent, batch


def main() -> None:
    """Times both in turns."""
    torch.set_num_threads(1)
    model, (agent, batch) = theirs(), ours()
    rows: list[Row] = []
    for round_number in range(ROUNDS):
        start = time.process_time()
        model.train(gradient_steps=UPDATES, batch_size=BATCH)
        middle = time.process_time()
        for _ in range(UPDATES):
            agent.update_critic(batch)
            agent.update_actor(batch)
        end = time.process_time()
        rows.append(
            {
                "round": round_number,
                "sb3_updates_per_cpu_second": UPDATES / (middle - start),
                "ours_updates_per_cpu_second": UPDATES / (end - middle),
                "ratio": (middle - start) / (end - middle),
            }
        )
    ratios = [row["ratio"] for row in rows]
    summary = {"ratio_median": statistics.median(ratios), "ratio_worst": min(ratios)}
    write_result("learner_speed", "python benchmarks/learner_speed.py", rows, summary, [0])
    print(summary, rows[-1])


if __name__ == "__main__":
    main()
