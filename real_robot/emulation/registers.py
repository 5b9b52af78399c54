"""The registers of a Feetech STS3215 servo: where they are, how wide, how signed, and what they hold when new.

Source: the STS/SMS series memory table of the vendor, as LeRobot's ``motors/feetech/tables.py`` names it.
"""

from __future__ import annotations

from dataclasses import dataclass

from robo_reward.errors import unknown_name
from robo_reward.real_robot.emulation.packets import to_sign_magnitude

SIZE = 90
"""Bytes of a servo's memory."""
MODEL_STS3215 = 777
TICKS = 4096
"""Encoder steps of one turn."""
EPROM_END = 40
"""Registers below survive a loss of power."""


@dataclass(frozen=True, slots=True)
class Register:
    """``address``, ``width`` in bytes; ``sign_bit`` of sign-magnitude numbers; ``initial``: value of a new servo."""

    address: int
    width: int
    initial: int = 0
    sign_bit: int | None = None
    read_only: bool = False

    def encode(self, value: int) -> bytes:
        """The bytes of a value, signed where the register is."""
        word = value if self.sign_bit is None else to_sign_magnitude(value, self.sign_bit)
        return word.to_bytes(self.width, "little")


REGISTERS: dict[str, Register] = {
    "Firmware_Major_Version": Register(0, 1, 3, read_only=True),
    "Firmware_Minor_Version": Register(1, 1, 10, read_only=True),
    "Model_Number": Register(3, 2, MODEL_STS3215, read_only=True),
    "ID": Register(5, 1, 1),
    "Baud_Rate": Register(6, 1, 0),
    "Return_Delay_Time": Register(7, 1, 250),
    "Response_Status_Level": Register(8, 1, 1),
    "Min_Position_Limit": Register(9, 2, 0),
    "Max_Position_Limit": Register(11, 2, TICKS - 1),
    "Max_Temperature_Limit": Register(13, 1, 70),
    "Max_Voltage_Limit": Register(14, 1, 80),
    "Min_Voltage_Limit": Register(15, 1, 40),
    "Max_Torque_Limit": Register(16, 2, 1000),
    "Phase": Register(18, 1, 0x1C),
    "P_Coefficient": Register(21, 1, 32),
    "D_Coefficient": Register(22, 1, 32),
    "I_Coefficient": Register(23, 1, 0),
    "Protection_Current": Register(28, 2, 500),
    "Homing_Offset": Register(31, 2, 0, sign_bit=11),
    "Operating_Mode": Register(33, 1, 0),
    "Protective_Torque": Register(34, 1, 20),
    "Protection_Time": Register(35, 1, 200),
    "Overload_Torque": Register(36, 1, 80),
    "Torque_Enable": Register(40, 1),
    "Acceleration": Register(41, 1),
    "Goal_Position": Register(42, 2, 0, sign_bit=15),
    "Goal_Time": Register(44, 2),
    "Goal_Velocity": Register(46, 2, 0, sign_bit=15),
    "Torque_Limit": Register(48, 2, 1000),
    "Lock": Register(55, 1, 1),
    "Present_Position": Register(56, 2, 0, sign_bit=15, read_only=True),
    "Present_Velocity": Register(58, 2, 0, sign_bit=15, read_only=True),
    "Present_Load": Register(60, 2, 0, sign_bit=10, read_only=True),
    "Present_Voltage": Register(62, 1, 74, read_only=True),
    "Present_Temperature": Register(63, 1, 30, read_only=True),
    "Status": Register(65, 1, read_only=True),
    "Moving": Register(66, 1, read_only=True),
    "Present_Current": Register(69, 2, read_only=True),
    "Goal_Position_2": Register(71, 2, read_only=True),
    "Moving_Velocity_Threshold": Register(80, 1, 50),
    "Maximum_Velocity_Limit": Register(84, 1, 68),
    "Maximum_Acceleration": Register(85, 1, 254),
}

READ_ONLY = frozenset(
    address
    for register in REGISTERS.values()
    if register.read_only
    for address in range(register.address, register.address + register.width)
)
"""Byte addresses that a write leaves as they are."""
NAME_AT = {register.address: name for name, register in REGISTERS.items()}


def register(name: str) -> Register:
    """A register by LeRobot's name for it. UserError if there is none."""
    if name not in REGISTERS:
        raise unknown_name("servo register", name, REGISTERS)
    return REGISTERS[name]


def power_on_memory() -> bytearray:
    """The (90,) bytes of a new servo's memory."""
    memory = bytearray(SIZE)
    for entry in REGISTERS.values():
        memory[entry.address : entry.address + entry.width] = entry.encode(entry.initial)
    return memory
