"""Pictures of two sizes are told apart before anything is stepped, with the settings that mend it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.picture_sizes import check_picture_sizes


def test_sizes_that_do_not_go_together() -> None:
    shown = moving_square(0, 4)
    height, width = shown.frames["front"].shape[1:3]
    env, fitted = {"height": height, "width": width}, SimpleNamespace(frame_size=(height, width))
    check_picture_sizes(env, [shown], ["front", "unseen"], {"the reward": fitted, "success_stop": None})
    with pytest.raises(UserError, match=rf"are 7x9, the demonstrations' front {height}x{width}.* env.height={height}"):
        check_picture_sizes({"height": 7, "width": 9}, [shown], ["front"], {})
    with pytest.raises(UserError, match=rf"what success_stop was fitted on {height}x{width}"):
        check_picture_sizes({"height": 7, "width": 9}, [], [], {"the reward": object(), "success_stop": fitted})
    check_picture_sizes({"id": "Hopper-v5"}, [shown], ["front"], {"the reward": fitted})
    check_picture_sizes({"height": 7, "width": 9}, [], [], {"the reward": SimpleNamespace(frame_size=None)})
