"""Two ranks, as torchrun would start them, find what one process finds."""

import json

from tests.cli import tiny
from tests.cli.started import ranks


def test_two_ranks_do_what_one_process_does() -> None:
    """All look-ups and starts to the last bit; a training by both up to rounding, its order and augmentation alike."""
    first, second = ranks(cwd=tiny.ROOT, module="tests.search.parallel.on_ranks")
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert second.stdout == ""
    found = json.loads(first.stdout)
    assert (found["rank"], found["size"]) == (0, 2)
    assert all(found[name] for name in ("candidates", "architectures", "scores", "weights"))
    assert found["images"] == 0
    assert found["moved"] > 0.01
    assert found["apart"] < 1e-4 * found["moved"]
    assert found["refused"] == "b.png: cannot be read as an image: mend or remove it"
