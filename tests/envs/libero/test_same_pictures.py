"""Worlds that were led to one start show one picture, whatever tasks they had before."""

from __future__ import annotations

import numpy as np
import pytest

from robo_reward.envs.libero.world import make_world


@pytest.mark.usefixtures("assets")
def test_a_world_new_to_a_task_shows_what_the_one_that_had_it_shows() -> None:
    """The second world's simulator of the first task is built for this, and never reset."""
    world = make_world("libero_object", [0, 3], num_worlds=2, horizon=4, height=64, width=64, meshes="lighter")
    assert len(set(world.reset(0).task)) == 2
    shown = world.restore([world.snapshot()[0]] * 2)
    assert len(set(shown.task)) == 1
    for view in ("image", "image2"):
        np.testing.assert_array_equal(shown.views[view][1], shown.views[view][0])
    world.close()
