"""Builds every distribution, installs the wheels in a clean environment and tries them there."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TRY = """
import sys
from hydra import compose, initialize_config_module
from robo_reward.cli import help_pages
import robo_reward

assert robo_reward.__file__.startswith(sys.prefix), f"{robo_reward.__file__} is not the installed wheel"
for verb in help_pages.verbs():
    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        for group, chosen in [("", ""), *help_pages.chosen_groups(verb)]:
            for option in help_pages.group_options(group) if group else [""]:
                compose(verb, overrides=[f"{group}={option}"] if group else [])
                print("composed", verb, group, option)
"""

# The plug-in must be found by LeRobot's own search for distributions, under its built name.
TRY_PLUGIN = """
from lerobot.configs.rewards import RewardModelConfig
from lerobot.rewards.factory import get_reward_model_class
from lerobot.utils.import_utils import register_third_party_plugins

register_third_party_plugins()
for name in ("progress", "robo_reward"):
    print("LeRobot knows", name, get_reward_model_class(name))
"""


def main() -> None:
    """Exits with 1 and the name of what failed."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    projects = [ROOT, *sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))]
    for project in projects:
        run(sys.executable, "-m", "build", "--outdir", str(ROOT / "dist"), str(project))
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    for wheel in wheels:
        print(f"{wheel.name}: {name_of(wheel)}, installs {', '.join(top_level(wheel))}")
    with tempfile.TemporaryDirectory() as folder:
        python = clean_environment(Path(folder), wheels)
        program = str(python.with_name("robo-reward"))
        run(program, "--help", cwd=folder)
        run(program, "--version", cwd=folder)
        run(program, "doctr", cwd=folder, expect=2)
        run(str(python), "-c", TRY, cwd=folder)
        run(str(python), "-c", TRY_PLUGIN, cwd=folder)
    names = sorted(name_of(wheel) for wheel in wheels)
    if names != ["lerobot_policy_robo_reward", "robo-reward"]:  # LeRobot looks for underscores
        sys.exit(f"the wheels must be named lerobot_policy_robo_reward and robo-reward, not {names}")
    main_wheel = next(wheel for wheel in wheels if name_of(wheel) == "robo-reward")
    if top_level(main_wheel) != ["robo_reward"]:
        sys.exit(f"the wheel must install robo_reward alone, not {top_level(main_wheel)}")
    print("the wheels work")


def clean_environment(folder: Path, wheels: list[Path]) -> Path:
    """An environment with the wheels; this one lends it the locked dependencies through a .pth file."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", *map(str, wheels))
    where = ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run([str(python), *where], capture_output=True, text=True, check=True).stdout.strip()
    # .pth files inside a folder that a .pth file adds are not read, so the editable install stays out.
    (Path(site) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def name_of(wheel: Path) -> str:
    """The name in the built metadata."""
    with zipfile.ZipFile(wheel) as held:
        (path,) = (name for name in held.namelist() if name.endswith(".dist-info/METADATA"))
        return str(email.message_from_bytes(held.read(path))["Name"])


def top_level(wheel: Path) -> list[str]:
    """What the wheel adds to site-packages, besides its metadata."""
    with zipfile.ZipFile(wheel) as held:
        return sorted({n.split("/")[0] for n in held.namelist() if ".dist-info/" not in n})


def run(*command: str, cwd: str | Path = ROOT, expect: int = 0) -> None:
    """Runs a command without PYTHON* settings and stops unless it exits with ``expect``."""
    print("$", *(word if "\n" not in word else "..." for word in command), flush=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    code = subprocess.run(command, cwd=cwd, env=environment, check=False).returncode
    if code != expect:
        sys.exit(f"exit code {code} instead of {expect}: {' '.join(command)[:200]}")


if __name__ == "__main__":
    main()
