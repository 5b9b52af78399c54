"""Hashed random numbers: known values, independence of the batch, uniformity."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.envs.locomotion.counted_draws import between, episode_keys, mix, normal, uniform, world_keys

GOLDEN = 0x9E3779B97F4A7C15


def test_the_mixer_is_splitmix64() -> None:
    """The first outputs of the reference generator seeded with 0 (Vigna, splitmix64.c)."""
    states = np.array([GOLDEN, 2 * GOLDEN % 2**64, 3 * GOLDEN % 2**64], np.uint64)
    assert [int(v) for v in mix(states)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(st.integers(0, 2**40), st.permutations(range(5)))
def test_a_world_draws_the_same_in_any_batch(seed: int, order: list[int]) -> None:
    episodes = 3 * np.arange(5)
    keys = world_keys(seed, 5)
    whole = uniform(episode_keys(keys, episodes), 4, 7)
    shuffled = np.array(order)
    np.testing.assert_array_equal(uniform(episode_keys(keys[shuffled], episodes[shuffled]), 4, 7), whole[shuffled])
    np.testing.assert_array_equal(world_keys(seed, 3), keys[:3])


def test_worlds_episodes_seeds_and_streams_differ() -> None:
    worlds, episodes = np.meshgrid(np.arange(20), np.arange(20))
    keys = [episode_keys(world_keys(seed, 20)[worlds.ravel()], episodes.ravel()) for seed in (0, 1)]
    drawn = np.concatenate([uniform(key, 3, stream) for key in keys for stream in (0, 1)])
    assert len(np.unique(drawn)) == drawn.size


def test_numbers_are_uniform_and_normal() -> None:
    keys = episode_keys(world_keys(3, 20_000), np.zeros(20_000, np.int64))
    flat = between(keys, -1.0, 3.0, 2)
    assert flat.min() >= -1.0
    assert flat.max() < 3.0
    np.testing.assert_allclose(flat.mean(0), 1.0, atol=0.03)
    np.testing.assert_allclose(flat.std(0), 4 / np.sqrt(12), atol=0.03)
    assert abs(np.corrcoef(flat.T)[0, 1]) < 0.03
    bell = normal(keys, 2)
    np.testing.assert_allclose(bell.mean(0), 0.0, atol=0.03)
    np.testing.assert_allclose(bell.std(0), 1.0, atol=0.03)
    assert abs(np.mean(np.abs(bell) < 1.0) - 0.6827) < 0.01
