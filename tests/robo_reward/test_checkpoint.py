"""Nested state comes back as it was saved, and damage is named."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robo_reward.errors import UserError
from robo_reward.runs.checkpoint import load_state, load_tensors, save_state, save_tensors

DTYPES = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
ARRAYS = DTYPES.flatmap(lambda d: hnp.arrays(np.dtype(d), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
TENSORS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3)).map(lambda a: torch.from_numpy(a).to(torch.bfloat16))
KEYS = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none())
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=9), ARRAYS, TENSORS
)
STATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3), st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a.isnan(), b.isnan()))
    if isinstance(a, np.ndarray | np.generic):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return isinstance(b, float) and (a == b or (a != a and b != b))  # JSON knows one NaN only
    return type(a) is type(b) and a == b


@given(STATES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_nested_state_comes_back_as_it_was(tmp_path: Path, state: Any) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    save_state(folder, "state", state)
    assert same(state, load_state(folder, "state"))


def test_an_optimizer_goes_on_exactly_where_it_stopped(tmp_path: Path) -> None:
    def trained(steps: int, resumed: bool = False) -> torch.Tensor:
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        adam = torch.optim.Adam(net.parameters(), lr=0.1)
        if resumed:
            state = load_state(tmp_path, "learner")
            net.load_state_dict(state["net"])
            adam.load_state_dict(state["adam"])
        for _ in range(steps):
            adam.zero_grad()
            net(torch.ones(4, 3)).square().sum().backward()
            adam.step()
        save_state(tmp_path, "learner", {"net": net.state_dict(), "adam": adam.state_dict()})
        return net.weight.detach().clone()

    whole = trained(6)
    trained(3)
    assert torch.equal(whole, trained(3, resumed=True))


def test_random_states_and_numpy_scalars_keep_their_types(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    save_state(
        tmp_path,
        "s",
        {"rng": random.bit_generator.state, "x": np.float32(0.1), 3: collections.OrderedDict(a=1)},
    )
    state = load_state(tmp_path, "s")
    again = np.random.default_rng(0)
    again.bit_generator.state = state["rng"]
    assert again.random() == random.random()
    assert type(state["x"]) is np.float32
    assert state[3] == {"a": 1}


def test_tensors_that_share_memory_are_saved_one_by_one(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    save_tensors(tmp_path / "t.safetensors", {"all": base, "row": base.view(2, 3)[1], "again": base})
    found = load_tensors(tmp_path / "t.safetensors")
    assert found["row"].tolist() == [3.0, 4.0, 5.0]
    assert torch.equal(found["all"], found["again"])


def test_what_cannot_be_saved_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\.net\[1\]: cannot save a builtins\.object"):
        save_state(tmp_path, "state", {"net": [1, object()]})


def test_missing_and_cut_files_are_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no saved 'state'"):
        load_state(tmp_path, "state")
    save_state(tmp_path, "state", np.zeros(100))
    file = tmp_path / "state.arrays.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_state(tmp_path, "state")
