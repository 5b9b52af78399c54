"""Reads every register that matters of all Feetech STS motors in one exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_reward.real_robot.braking import Floats

BLOCK_START = 40
"""Torque_Enable; the block runs to Present_Current at 69 and 70."""
SHORTEST_BLOCK = 31
AMPERE = 0.0065
VOLT = 0.1


@dataclass(frozen=True, slots=True)
class Registers:
    """Arrays (J,): ``goal`` and ``position`` in ticks, ``current`` in A, ``voltage`` in V, ``temperature`` in C."""

    torque: Floats
    goal: Floats
    position: Floats
    voltage: Floats
    temperature: Floats
    status: Floats
    current: Floats


def read_block(packets: Any, port: Any, ids: Sequence[int], length: int) -> Registers:
    """``length`` >= 31 bytes from register 40 of each motor; ``packets`` and ``port`` are the vendor SDK's handlers.

    Unlike the SDK's GroupSyncRead it keeps the error byte of each answer, and refuses an answer of another length,
    which GroupSyncRead reads as zeros. Raises ConnectionError.
    """
    sent = packets.syncReadTx(port, BLOCK_START, length, list(ids), len(ids))
    if sent != 0:
        raise ConnectionError(packets.getTxRxResult(sent))
    rows = []
    for id_ in ids:
        data, told, error = packets.readRx(port, id_, length)
        if told != 0 or len(data) != length:
            said = packets.getTxRxResult(told) if told else f"{len(data)} bytes instead of {length}"
            raise ConnectionError(f"motor {id_}: {said}")
        rows.append(_row(data, error))
    return Registers(*np.array(rows, dtype=np.float64).T)


def _row(data: Sequence[int], error: int) -> tuple[float, ...]:
    def byte(register: int) -> int:
        return data[register - BLOCK_START]

    def signed(register: int) -> int:
        word = byte(register) | byte(register + 1) << 8
        return -(word & 0x7FFF) if word & 0x8000 else word

    status = byte(65) | error
    return byte(40), signed(42), signed(56), byte(62) * VOLT, byte(63), status, signed(69) * AMPERE
