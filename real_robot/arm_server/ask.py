"""``python -m robo_reward.real_robot.arm_server.ask SOCKET DO``: look at a running server, hold it, stop it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient

USAGE = "usage: python -m robo_reward.real_robot.arm_server.ask SOCKET observe|hold|estop|reset|park|stop"


def main(words: list[str]) -> int:
    """The exit code: 0 done, 2 not understood or no server, 3 refused by the server."""
    if len(words) != 2 or words[1] not in ("observe", "hold", "estop", "reset", "park", "stop"):
        print(USAGE, file=sys.stderr)
        return 2
    client = ArmClient(Path(words[0]), "ask", deadline=2.0)
    try:
        client.connect()
        if words[1] in ("park", "stop"):
            client.stop(park=words[1] == "park", insist=words[1] == "stop")
            return 0
        if words[1] == "hold":
            view = client.hold(call_off=True)
        else:
            view = {"observe": client.observe, "estop": client.estop, "reset": client.reset}[words[1]]()
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    finally:
        client.close()
    for key, value in asdict(view).items():
        print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
