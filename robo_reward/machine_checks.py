"""Looks at this machine: what works, what does not, and how to mend it; each check stands alone."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

State = Literal["ok", "info", "warn", "fail"]

_RENDER = """
import time, mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom type='plane' size='1 1 .1' rgba='1 0 0 1'/>"
    "<geom type='sphere' size='.2' pos='0 0 .2' rgba='0 1 0 1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, {size}, {size}) as renderer:
    renderer.update_scene(data)
    picture = renderer.render()
    start = time.perf_counter()
    for _ in range(10):
        picture = renderer.render()
    print("spread", int(picture.max()) - int(picture.min()), "ms", (time.perf_counter() - start) * 100)
"""

_GL_PACKAGES = (
    "apt-get install libegl1 libgl1 libgl1-mesa-dri; without a GPU driver also works: "
    "apt-get install libosmesa6 and MUJOCO_GL=osmesa"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: ``fail`` means that runs will fail, ``warn`` that a part is missing or slow."""

    name: str
    state: State
    text: str
    mend: str = ""


def check_all(size: int = 128) -> list[Finding]:
    """Every check in the order of the report; ``size`` is the test picture's side in pixels."""
    checks: Sequence[Callable[[], Finding]] = (
        check_python, check_processors, check_memory, check_disk, check_mujoco,
        lambda: check_renderer(size), check_gpu, check_video, check_lerobot, check_torchcodec,
        check_metaworld, check_libero, check_opencv, check_encoders, check_teleop, check_display,
    )  # fmt: skip
    return [_safely(check) for check in checks]


def check_python() -> Finding:
    """Python 3.12, which the pinned packages were tried with."""
    text = f"{platform.python_version()} on {platform.platform()}"
    if sys.version_info[:2] == (3, 12):
        return Finding("python", "ok", text)
    return Finding("python", "fail", text, "make the environment with Python 3.12: python3.12 -m venv .venv")


def check_processors() -> Finding:
    """The cores this process may use, and settings that limit its threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ]
    text = f"{usable} usable cores" + (f", {', '.join(limits)}" if limits else "")
    if usable >= 2:
        return Finding("processors", "ok", text)
    return Finding("processors", "warn", text, "two cores or more let rewards be fitted beside the simulation")


def check_memory() -> Finding:
    """Free memory in GB; the main job needs about 3."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():  # what caches give back counts as free
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = int(lines.get("MemAvailable", "0 kB").split()[0]) / 1e6
    if free >= 3:
        return Finding("memory", "ok", f"{free:.1f} GB free")
    return Finding("memory", "warn", f"{free:.1f} GB free", "the main job takes about 3 GB; close other programs")


def check_disk() -> Finding:
    """Free space where runs are written and in the temporary folder."""
    free = {name: shutil.disk_usage(name).free / 1e9 for name in (".", tempfile.gettempdir())}
    text = ", ".join(f"{gigabytes:.1f} GB free in '{name}'" for name, gigabytes in free.items())
    if min(free.values()) >= 2:
        return Finding("disk", "ok", text)
    return Finding("disk", "warn", text, "free some space, or write elsewhere: run_dir=FOLDER and TMPDIR")


def check_mujoco() -> Finding:
    """MuJoCo 3.3: later ones silently break LIBERO's start states."""
    found = _version("mujoco")
    if found is None:
        return Finding("mujoco", "fail", "not installed", "pip install 'mujoco>=3.3,<3.4'")
    if found.startswith("3.3."):
        return Finding("mujoco", "ok", found)
    return Finding("mujoco", "fail", found, "pip install 'mujoco>=3.3,<3.4'")


def check_renderer(size: int) -> Finding:
    """Draws a picture in a process of its own, since a broken driver can take its process down."""
    environment = dict(os.environ)
    if sys.platform == "linux":
        environment.setdefault("MUJOCO_GL", "egl")
    chosen = environment.get("MUJOCO_GL", "MuJoCo's default")
    done = subprocess.run(
        [sys.executable, "-c", _RENDER.format(size=size)],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    words = done.stdout.split()
    if done.returncode == 0 and words[:1] == ["spread"] and int(words[1]) > 0:
        return Finding("renderer", "ok", f"MUJOCO_GL={chosen}: {size}x{size} in {float(words[3]):.1f} ms")
    lines = done.stderr.strip().splitlines()
    cause = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "an empty picture")
    mend = _GL_PACKAGES if chosen in ("egl", "osmesa") else "unset MUJOCO_GL, or set it to egl or osmesa"
    return Finding("renderer", "fail", f"MUJOCO_GL={chosen}: {cause}", mend)


def check_gpu() -> Finding:
    """Whether torch sees a CUDA device; nothing here needs one."""
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", "ok", f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    return Finding("gpu", "info", f"none seen by torch {torch.__version__}; device=cpu is used")


def check_video() -> Finding:
    """Writes and reads a short video through PyAV."""
    import av
    import numpy as np

    frames = [np.full((64, 64, 3), shade, np.uint8) for shade in (0, 128, 255)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "test.mp4")
        with av.open(path, "w") as out:
            stream = out.add_stream("libx264", rate=10)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode())
        with av.open(path) as held:
            shades = [float(frame.to_ndarray(format="rgb24").mean()) for frame in held.decode(video=0)]
    if len(shades) == 3 and all(abs(a - b) < 20 for a, b in zip(shades, (0, 128, 255), strict=True)):
        return Finding("video", "ok", f"PyAV {av.__version__} writes and reads mp4 (H.264)")
    return Finding("video", "fail", f"three frames came back as {shades}", "pip install --force-reinstall av")


def check_lerobot() -> Finding:
    """LeRobot with its dataset support."""
    if _version("lerobot") is None:
        return Finding("lerobot", "fail", "not installed", "pip install 'lerobot[dataset]==0.6.1'")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return Finding("lerobot", "ok", f"{_version('lerobot')}, {LeRobotDataset.__name__} (v3) opens")


def check_torchcodec() -> Finding:
    """LeRobot's faster decoder needs FFmpeg's libraries; without them PyAV reads the videos."""
    ffmpeg = shutil.which("ffmpeg") or "no ffmpeg program"
    try:
        import torchcodec

        return Finding("torchcodec", "info", f"{torchcodec.__version__} loads ({ffmpeg})")
    except (ImportError, OSError, RuntimeError):
        return Finding("torchcodec", "info", f"does not load ({ffmpeg}); videos are read through PyAV")


def check_metaworld() -> Finding:
    """The Meta-World tasks."""
    return _extra("metaworld", ("metaworld",), "metaworld", "env=metaworld")


def check_libero() -> Finding:
    """LIBERO's package, and the assets where the user says that they are."""
    found, variable = _extra("libero", ("libero", "robosuite"), "libero", "env=libero"), "ROBO_REWARD_LIBERO_ASSETS"
    named = os.environ.get(variable)
    if found.state != "ok" or not named:
        return found
    if not (Path(named) / "scenes").is_dir():
        mend = f"unset {variable}, or let it name a folder with scenes/ and articulated_objects/"
        return Finding("libero", "warn", f"{variable}='{named}' holds no assets of LIBERO", mend)
    return Finding("libero", "ok", f"{found.text}, assets in '{named}'")


def check_opencv() -> Finding:
    """Two OpenCV distributions write into one folder and break each other."""
    names = (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    )
    found = [name for name in names if _version(name) is not None]
    if len(found) <= 1:
        return Finding("opencv", "ok", found[0] if found else "not installed, not needed")
    mend = f"pip uninstall -y {' '.join(found)}; pip install opencv-python-headless"
    return Finding("opencv", "warn", f"{' and '.join(found)} share one folder", mend)


def check_encoders() -> Finding:
    """Frozen image encoders by name."""
    return _extra("encoders", ("open_clip", "timm"), "encoders", "reward encoders by name")


def check_teleop() -> Finding:
    """Keyboard and gamepad."""
    return _extra("teleop", ("pygame",), "teleop", "collect teleop=keyboard|gamepad")


def check_display() -> Finding:
    """A screen for view=true; training and videos need none."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return Finding("display", "ok", "a screen is there for view=true")
    return Finding("display", "info", "no screen: view=true and teleop cannot open a window, all else works")


def _extra(name: str, modules: Sequence[str], extra: str, purpose: str) -> Finding:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return Finding(name, "ok", f"installed ({purpose})")
    return Finding(
        name, "info", f"{', '.join(missing)} not installed ({purpose})", f"pip install 'robo-reward[{extra}]'"
    )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _safely(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # a doctor that dies of the illness helps nobody
        name = getattr(check, "__name__", "").removeprefix("check_")
        name = "renderer" if name == "<lambda>" else name
        return Finding(
            name, "fail", f"{type(error).__name__}: {error}", "set everything up anew: rm -r .venv; make demo"
        )
