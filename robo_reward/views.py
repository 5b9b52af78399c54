"""Views that render when somebody reads them, once, and never show a later picture than promised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from robo_reward.contracts import Frames
from robo_reward.errors import unknown_name


class StaleView(RuntimeError):
    """A view was read for the first time after its world had moved on."""

    def __init__(self, name: str, way_out: str = "read it, or pin(observation.views, names), in time") -> None:
        super().__init__(
            f"view '{name}' was not read before its world stepped or was reset, so its picture is gone; {way_out}"
        )


class LazyViews(Mapping[str, Frames]):
    """Camera name -> (N, H, W, 3) uint8, rendered at the first read and kept.

    ``render(name)`` is called at most once per view. ``alive()`` is False once the world has moved on: a view
    that was read before stays valid, one that was not raises ``StaleView``. An unknown name raises a
    ``UserError`` that lists the known ones.
    """

    def __init__(self, names: Iterable[str], render: Callable[[str], Frames], alive: Callable[[], bool]) -> None:
        self._names = tuple(names)
        self._render = render
        self._alive = alive
        self._read: dict[str, Frames] = {}

    def __getitem__(self, name: str) -> Frames:
        if name in self._read:
            return self._read[name]
        if name not in self._names:
            raise unknown_name("view", name, self._names)
        if not self._alive():
            raise StaleView(name)
        frames = self._render(name)
        # A picture that two readers share must not change under one of them.
        frames.setflags(write=False)
        self._read[name] = frames
        return frames

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        read = ", ".join(f"{n} (read)" if n in self._read else n for n in self._names)
        return f"LazyViews({read})"


def pin(views: Mapping[str, Frames], names: Sequence[str]) -> Mapping[str, Frames]:
    """Fixes the named views now: a plain dict of frames that outlives the next step.

    Raises:
        UserError: a name is not among the views.
        StaleView: a view was not read in time.
    """
    for name in names:
        if name not in views:
            raise unknown_name("view", name, views)
    return {name: views[name] for name in names}
