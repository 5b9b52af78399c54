"""Which cameras a reward reads where none are named: the world's own choice, or what the datasets share."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from robo_reward.errors import UserError

NO_WORLD = "robo_reward.envs.no_env.make_world"


def name_views(config: Any, sources: Sequence[str] = ()) -> None:
    """Writes views into a verb's config where reward or judge read none that are named (``views: null``).

    They are the ones that the world shows unless told otherwise; with env=none those that all datasets (``sources``)
    have. To be called before anything is built of ``config``. Changes nothing if all are named.

    Raises:
        UserError: the world's or a dataset's own complaint, or datasets that share no camera.
    """
    unsaid = list(_unsaid(config))
    if not unsaid:
        return
    stepped = config.env.get("_target_") != NO_WORLD
    views = _shared_views(sources) if sources and not stepped else _views_of_world(config.env)
    if "views" in config.env:
        config.env.views = views
    for part in unsaid:
        part.views = views


def _unsaid(config: Any) -> Iterator[Any]:
    """Reward model, members of an ensemble and judge that would be built with ``views`` null."""
    reward = config.get("reward_model") or {}
    parts = [config.get("judge")]
    if reward.get("path") is None:  # a saved one knows its views
        parts += [reward, *(reward.get("models") or {}).values()]
    for part in parts:
        if part is not None and "views" in part and part.views is None:
            yield part


def _views_of_world(env: Any) -> list[str]:
    from robo_reward.build import build_world

    one = {key: value for key, value in {"num_worlds": 1, "workers": "in_process"}.items() if key in env}
    world = build_world(env, **one)
    try:
        return list(world.view_names)
    finally:
        world.close()


def _shared_views(sources: Sequence[str]) -> list[str]:
    """Every view that all of the datasets have; none where none has pictures."""
    from robo_reward.data.dataset_source import open_dataset

    known = {source: list(open_dataset(source).image_keys()) for source in sources}
    shared = [view for view in known[sources[0]] if all(view in views for views in known.values())]
    dropped = sorted({view for views in known.values() for view in views} - set(shared))
    if dropped and not shared:
        told = "; ".join(f"'{source}' has {', '.join(views) or 'no pictures'}" for source, views in known.items())
        raise UserError(
            f"no view is in all of the datasets: {told}. Give datasets that share a view's name, or "
            "reward_model.views=[] reward_model.encoder=state for a reward that reads no pictures"
        )
    if dropped:
        print(f"not every dataset has view(s) {dropped}: fitting on {shared}", file=sys.stderr)
    return shared
