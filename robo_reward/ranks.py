"""Several processes that train one policy: which of them this one is, and how their gradients become one."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from robo_reward.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

Item = TypeVar("Item")
PATIENCE = datetime.timedelta(hours=6)
"""How long processes wait for each other: the first of them evaluates and saves while the others wait."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """``rank`` of ``count`` processes, ``local`` on its machine, as ``accelerate launch`` and ``torchrun`` set them.

    The first process owns the run: it evaluates, saves and writes the run folder. The others lend it their gradients.
    Alone (``count`` 1), every method does nothing.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process owns the run."""
        return self.rank == 0

    @property
    def own(self) -> tuple[int, ...]:
        """What tells this process's random numbers from those of the first, which are those of a process alone."""
        return () if self.first else (self.rank,)

    def device(self, asked: str) -> str:
        """``cuda`` is this process's own GPU; anything else is what was asked for."""
        return f"cuda:{self.local}" if asked == "cuda" and self.count > 1 else asked

    def check_training(self, batch: int, dataset: str | None) -> None:
        """Raises UserError where several processes have no ``dataset`` in common, or cannot share a ``batch``."""
        if self.count > 1 and dataset is None:
            raise UserError(
                f"{self.count} processes train on one dataset: collect it first and give it with data=DATASET"
            )
        if batch % self.count:
            raise UserError(f"learner.batch={batch} must be a multiple of {self.count}, the number of processes")

    @contextmanager
    def joined(self, device: str) -> Iterator[None]:
        """Inside, the processes hear each other."""
        if self.count == 1:
            yield
            return
        import torch

        on_gpu = device.startswith("cuda")
        if on_gpu:
            torch.cuda.set_device(self.local)
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()

    def share(self, chosen: Sequence[Item]) -> Sequence[Item]:
        """This process's part of what one update learns from."""
        return chosen[self.rank :: self.count]

    def agree(self, module: nn.Module) -> None:
        """All take over the first process's weights and buffers."""
        if self.count > 1:
            import torch

            for tensor in module.state_dict().values():
                torch.distributed.broadcast(tensor, 0)

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every gradient becomes the mean over all processes: 0 where one has none; none where no process has one."""
        if self.count == 1:
            return
        import torch

        trained = list(parameters)
        grads = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in trained]
        known = torch.tensor([float(weight.grad is not None) for weight in trained]).to(grads[0])
        flat = torch.cat([*(grad.flatten() for grad in grads), known])
        torch.distributed.all_reduce(flat)
        flat /= self.count
        *means, known = flat.split([*(weight.numel() for weight in trained), len(trained)])
        for weight, grad, mean, anybody in zip(trained, grads, means, known.tolist(), strict=True):
            # of what nothing teaches there is none, and no decay
            weight.grad = grad.copy_(mean.view_as(grad)) if anybody else None

    def mean(self, value: float, device: torch.device | None = None) -> float:
        """The mean of a number over all processes."""
        if self.count == 1:
            return value
        import torch

        told = torch.tensor([value], dtype=torch.float32, device=device)
        torch.distributed.all_reduce(told)
        return float(told) / self.count


def ranks_of(environment: Mapping[str, str] | None = None) -> Ranks:
    """What a launcher has set in the environment; one process without a launcher.

    Raises:
        UserError: the numbers do not fit together.
    """
    found = os.environ if environment is None else environment
    if not all(found.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR")):
        return Ranks()
    ranks = Ranks(int(found["RANK"]), int(found["WORLD_SIZE"]), int(found.get("LOCAL_RANK", found["RANK"])))
    if not 0 <= ranks.rank < ranks.count:
        raise UserError(f"RANK={ranks.rank} must be below WORLD_SIZE={ranks.count}: unset both to train in one process")
    return ranks
