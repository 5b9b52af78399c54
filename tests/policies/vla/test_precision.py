"""bfloat16 where the machine multiplies it; nobody waits thirty times as long without a word."""

import warnings

import pytest
import torch

from robo_reward.policies.vla.precision import chosen_dtype


@pytest.mark.parametrize(
    ("asked", "device", "able", "taken"),
    [
        ("auto", "cpu", {"avx512_bf16": True}, "float32"),
        ("auto", "cuda:0", {}, "bfloat16"),
        ("fastest", "cuda", {}, "bfloat16"),
        ("fastest", "cpu", {"avx512_bf16": True}, "bfloat16"),
        ("fastest", "cpu", {"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ("fastest", "cpu", {"avx512_bf16": False, "avx2": True}, "float32"),
        ("float32", "cuda", {}, "float32"),
        ("bfloat16", "cpu", {"avx512_bf16": True}, "bfloat16"),
    ],
)
def test_what_is_taken(
    asked: str, device: str, able: dict[str, bool], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen_dtype(asked, device) == taken


def test_who_asks_for_it_where_it_is_emulated_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    with pytest.warns(UserWarning, match="only emulates it.*policy.dtype=fastest"):
        assert chosen_dtype("bfloat16", "cpu") == "bfloat16"


def test_this_machine_says_what_it_can() -> None:
    assert torch.cpu.get_capabilities()
    assert chosen_dtype("fastest", "cpu") in ("float32", "bfloat16")
