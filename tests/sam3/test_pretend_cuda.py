"""The pretend GPU refuses what CUDA refuses and counts what it says it counts: else tests on it would show nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.sam3.conftest import require

require("torch", "torchvision", "transformers")

import torch  # noqa: E402

from tests.sam3.pretend_cuda import pretend  # noqa: E402
from tests.sam3.pretend_gpu import Gpu  # noqa: E402


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with pretend(count=2) as gpus:
        yield gpus


def ones(*shape: int, device: str = "cuda") -> Any:
    return torch.ones(shape, device=device)


def test_tensors_say_where_they_are_and_hold_values(gpu: Gpu) -> None:
    made = [ones(2), torch.ones(2).to("cuda"), torch.ones(2).cuda(), torch.tensor([1.0, 1.0], device="cuda:0")]
    made += [ones(3).new_tensor([1.0, 1.0]), torch.ones_like(made[0]), torch.nn.Linear(2, 2).to("cuda").weight]
    assert all(each.is_cuda and each.device == torch.device("cuda", 0) for each in made)
    assert (made[0] + made[1]).tolist() == [2, 2]
    assert (made[0] + torch.tensor(1.0)).cpu().numpy().tolist() == [2, 2]  # a number may come from main memory
    assert made[0][torch.tensor([1])].tolist() == [1]  # and so may an index
    assert ones(2, device="cuda:1").device.index == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ones(2) + torch.ones(2),
        lambda: torch.cat([ones(1), torch.ones(1)]),
        lambda: torch.stack([ones(), torch.ones(())]),
        lambda: torch.nn.functional.linear(ones(1, 2), torch.ones(2, 2)),
        lambda: ones(2) + ones(2, device="cuda:1"),
        lambda: torch.ones(2)[torch.zeros(1, dtype=torch.long, device="cuda")],
        lambda: torch.where(ones(2) > 0, torch.ones(2), 0.0),
        lambda: ones(2).index_put_((torch.tensor([0, 1]),), torch.ones(2)),
    ],
)
def test_what_lies_in_two_places_is_not_mixed(gpu: Gpu, wrong: Any) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        wrong()


def test_an_array_is_made_of_a_copy_alone(gpu: Gpu) -> None:
    for wrong in (lambda: ones(2).numpy(), lambda: np.asarray(ones(2))):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            wrong()


@pytest.mark.parametrize(
    ("ask", "waits"),
    [
        (lambda x: x * 2 + x.sum(), 0),
        (lambda x: x.sum().item(), 1),
        (lambda x: float(x[0]), 1),
        (lambda x: bool((x > 0).all()), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x[[0, 1]], 1),  # the list goes to the GPU
        (lambda x: x[torch.tensor([0], device="cpu").pin_memory().to(x.device, non_blocking=True)], 0),
        (lambda x: torch.where(x > 0, x, 0.0), 0),
        (lambda x: x.new_tensor([1.0]), 1),
        (lambda x: torch.ones(2).to(x.device), 1),
        (lambda x: torch.ones(2).pin_memory().to(x.device, non_blocking=True), 0),
        (lambda x: torch.cuda.synchronize(), 1),
    ],
)
def test_waiting_is_counted(gpu: Gpu, ask: Any, waits: int) -> None:
    given = ones(2)
    with gpu.counting() as counts:
        ask(given)
    assert sum(counts.waits.values()) == waits, counts
    assert all(where.startswith("tests/sam3/test_pretend_cuda.py:") for _, where in counts.waits)


def test_a_copy_nobody_waited_for_has_not_come(gpu: Gpu) -> None:
    place = torch.empty(3, pin_memory=True)
    place.copy_(ones(3), non_blocking=True)
    done = torch.cuda.Event()
    done.record()
    assert place.tolist() != [1, 1, 1]
    done.synchronize()
    assert place.tolist() == [1, 1, 1]


def test_memory_is_what_lives_there(gpu: Gpu) -> None:
    assert torch.cuda.memory_allocated() == 0
    first = ones(1000)
    view, more = first[:10], ones(500, device="cuda:1")
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_allocated("cuda:1")) == (4000, 2000)
    del first
    assert torch.cuda.memory_allocated() == 4000  # the view holds it
    del view, more
    assert (torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()) == (0, 4000)
    assert torch.cuda.memory_reserved() == 4000
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() == 0


def test_memory_runs_out(gpu: Gpu) -> None:
    torch.cuda.set_per_process_memory_fraction(4000 / gpu.cards[0].total)
    held = ones(900)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        ones(200)
    del held
    ones(200)


def test_after_it_torch_has_no_gpu_again() -> None:
    before = torch.cuda.is_available()
    with pretend():
        assert torch.cuda.is_available()
    assert torch.cuda.is_available() == before
    assert torch.ones(1).device.type == "cpu"
