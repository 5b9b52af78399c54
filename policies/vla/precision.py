"""Which numbers a policy multiplies, and whether the machine does so itself."""

from __future__ import annotations

import warnings

import torch

DTYPES = ("auto", "fastest", "float32", "bfloat16")


def chosen_dtype(asked: str, device: str) -> str:
    """``float32`` or ``bfloat16`` for one of ``DTYPES``.

    ``auto``: bfloat16 on a GPU alone; ``fastest``: also on a processor that multiplies it itself. One that does not
    emulates it, many times slower than float32: then ``bfloat16`` warns.
    """
    gpu = device.startswith("cuda")
    if asked == "auto":
        return "bfloat16" if gpu else "float32"
    native = gpu or _multiplies_bfloat16()
    if asked == "fastest":
        return "bfloat16" if native else "float32"
    if asked == "bfloat16" and not native:
        warnings.warn(
            "policy.dtype=bfloat16: this processor only emulates it, up to thirty times slower than float32; "
            "policy.dtype=fastest takes it where it is native",
            stacklevel=2,
        )
    return asked


def _multiplies_bfloat16() -> bool:
    """AVX512-BF16, AMX-BF16 and their like."""
    return any(has and "bf16" in name for name, has in torch.cpu.get_capabilities().items())
