"""What every test runs under: no hub, and a renderer that needs no screen, chosen before anything imports mujoco."""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("ROBO_REWARD_TRUST", "paper_world")  # the tests' own world and reward, saved as recipes
