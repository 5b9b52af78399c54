"""serve: a reward model in its own process, for runs in other processes and environments."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from robo_reward.answer_counts import counts_of
from robo_reward.bounds import check_bounds
from robo_reward.errors import UserError
from robo_reward.naming import reward_name

if TYPE_CHECKING:
    from omegaconf import DictConfig

LEAST = {"seed": 0, "queue": 1, "threads": 1}
"""The least that a number may be."""


def run(cfg: DictConfig) -> None:
    """Serves until it is stopped (Ctrl-C and SIGTERM end it well), then says what it did.

    Raises:
        UserError: a model that cannot be served (the simulator's own signal), or an address that cannot be had.
    """
    check_bounds(cfg, LEAST)
    from robo_reward.build import build, build_reward_model
    from robo_reward.reward_audits import sources_of
    from robo_reward.seeding import seed_everything

    server = build(cfg.server)
    model = build_reward_model(cfg.reward_model)
    if model.needs.oracle != "none":
        raise UserError("the simulator's own signal is at home in the simulator: it cannot be served")
    torch = sys.modules.get("torch")
    if torch is not None and cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    seed_everything(cfg.seed, "serve")
    sources = sources_of(model, cfg.reward_model)
    try:
        server.serve(model, lambda at: print(f"serving {reward_name(model)} at {at}", flush=True), sources)
    except KeyboardInterrupt:
        print("stopped")
    done = server.served
    print(
        f"{done.clients} client(s), {done.requests} request(s), {done.frames} frame(s) priced in "
        f"{done.pricing_seconds:.2f} s, {done.refused} refused"
        + "".join(f", {count} {name.replace('_', ' ')}" for name, count in counts_of(model).items())
    )
