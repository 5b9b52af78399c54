"""Lets LeRobot's own programs open LIBERO as ours do: no question on the terminal, and the same assets."""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import sys
from typing import Any

from robo_reward.envs.libero.installation import configure, local_assets

WORKERS = "robo_reward.envs.libero.for_lerobot_workers"


def prepare() -> None:
    """Sets hf-libero up, for this process and for the workers of LeRobot's vector environments; nothing without it.

    Assets that lie on this machine are named to hf-libero (``ROBO_REWARD_LIBERO_ASSETS`` first); without any it
    downloads them itself once an environment is made.

    Raises:
        UserError: the variable names a folder without assets.
    """
    if sys.platform != "linux" or importlib.util.find_spec("libero") is None:
        return
    configure()
    assets = local_assets()
    if assets is not None:
        module: Any = importlib.import_module("libero.libero")
        module._assets_path_cache = str(assets.folder)
    # workers are forked from a server that starts bare: it is to set hf-libero up before them
    multiprocessing.set_forkserver_preload(["__main__", WORKERS])
