"""Two ranks of torchrun find what one process finds."""

import json
import subprocess
import sys

from tests.cli import tiny


def test_two_ranks_do_what_one_process_does() -> None:
    """All look-ups and starts to the last bit; a training by both up to rounding, its order and augmentation alike."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "tests.search.parallel.on_ranks"),
        ],
        cwd=tiny.ROOT,
        env={**tiny.ENVIRONMENT, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rank"], found["size"]) == (0, 2)
    assert all(found[name] for name in ("candidates", "architectures", "scores", "weights"))
    assert found["images"] == 0
    assert found["moved"] > 0.01
    assert found["apart"] < 1e-4 * found["moved"]
    assert found["refused"] == "b.png: cannot be read as an image: mend or remove it"
