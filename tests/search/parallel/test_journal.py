"""What processes leave in a journal: tasks, claims and results, whoever dies."""

import os
import time
from pathlib import Path

import pytest
import torch

from natonnx.errors import InputError
from natonnx.search.parallel.journal import Journal

TASK = ("LookUp", {"states": "OSN"})


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Journal, Journal]:
    return Journal(tmp_path / "journal"), Journal(tmp_path / "journal")


def test_a_result_is_seen_by_all(pair: tuple[Journal, Journal]) -> None:
    one, other = pair
    one.begin("run", {"model": "m.onnx"})
    one.post("run", {"a": TASK})
    other.refresh()
    assert other.get(other.runs["run"]) == {"model": "m.onnx"}
    assert other.claim("run") == "a"
    assert other.get(other.tasks["a"].content) == TASK[1]
    other.finish("a", {"score": 0.1, "weights": torch.arange(3.0)})
    one.refresh()
    assert one.tasks["a"].result is not None
    found = one.get(one.tasks["a"].result)
    assert (found["score"], found["weights"].tolist()) == (0.1, [0.0, 1.0, 2.0])


def test_a_task_has_one_owner(pair: tuple[Journal, Journal]) -> None:
    one, other = pair
    one.post("run", {"a": TASK, "b": ("LookUp", {"states": "OSS"})})
    with one.living(), other.living():
        other.refresh()
        mine, others = one.claim("run"), other.claim("run")
        assert {mine, others} == {"a", "b"}
        assert others is not None
        assert other.claim("run") == others  # its own, as it has not finished it
        other.finish(others, {})
        assert other.claim("run") is None
        assert one.others() == other.others() == 1
    assert other.claim("another") is None


def test_of_two_that_claim_at_once_one_gets_it(pair: tuple[Journal, Journal]) -> None:
    """Neither knows of the other's claim when it makes its own."""
    one, other = pair
    one.post("run", {"a": TASK})
    other.refresh()
    with one.living(), other.living():
        entries = [{"op": "claim", "task": "a", "by": each.name, "over": None} for each in pair]
        one._append(entries)
        assert other.claim("run") is None
        assert one.claim("run") == "a"


def test_what_a_dead_process_had_is_free_behind_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of who looks, which sees no sign of life; a process that gave none of itself is dead at once."""
    now = [100.0]
    monkeypatch.setattr("natonnx.search.parallel.journal.time.monotonic", lambda: now[0])
    dead, heir = Journal(tmp_path, lease=10.0), Journal(tmp_path)
    dead.post("run", {"a": TASK})
    with dead.living():
        assert dead.claim("run") == "a"
        heir.refresh()
        assert heir.claim("run") is None
        now[0] += 9.0
        assert heir.claim("run") is None
        os.utime(tmp_path / "alive" / dead.name, ns=(0, time.time_ns() + 10**9))
        assert heir.claim("run") is None
        now[0] += 9.0
        assert heir.claim("run") is None
        now[0] += 1.5
        assert heir.claim("run") == "a"
        assert heir.others() == 0
    dead.finish("a", {"by": "the dead"})  # which was only slow: what came first counts
    heir.finish("a", {"by": "the heir"})
    assert heir.tasks["a"].result is not None
    assert heir.get(heir.tasks["a"].result) == {"by": "the dead"}


def test_a_search_that_is_begun_again_finds_what_was_done(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.begin("run", {})
    first.post("run", {"a": TASK})
    first.finish("a", {"score": 1})
    again = Journal(tmp_path)
    again.begin("run", {})
    again.post("run", {"a": TASK})
    assert again.tasks["a"].result is not None
    assert len((tmp_path / "journal.log").read_text().splitlines()) == 3


def test_a_result_whose_file_is_gone_is_worked_out_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.post("run", {"a": TASK})
    journal.finish("a", {"score": 1})
    assert journal.tasks["a"].result is not None
    journal.drop(journal.tasks["a"].result)
    journal.post("run", {"a": TASK})
    assert journal.claim("run") == "a"


def test_the_end_of_a_search_leaves_nothing_large(tmp_path: Path) -> None:
    journal, other = Journal(tmp_path), Journal(tmp_path)
    journal.begin("run", {"model": torch.zeros(9)})
    journal.begin("next", {"model": torch.ones(9)})
    journal.post("run", {"a": TASK})
    journal.finish("a", {"weights": torch.zeros(3)})
    journal.end("run")
    other.refresh()
    assert list(other.runs) == ["next"]
    assert not other.tasks
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [other.runs["next"]]


@pytest.mark.parametrize("line", ["[]\n{}\n", '{"op": "claim"}\n{}\n', "not json\n{}\n"])
def test_a_damaged_log_is_told_in_one_line(tmp_path: Path, line: str) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "journal.log").write_text(line)
    with pytest.raises(InputError, match="its log is damaged"):
        journal.refresh()


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    digest = journal.put({"a": 1})
    (tmp_path / "blobs" / digest).write_bytes(b"other")
    with pytest.raises(InputError, match="is damaged: remove it"):
        journal.get(digest)
    journal.drop(digest)
    with pytest.raises(InputError, match="cannot be read"):
        journal.get(digest)


def test_what_cannot_be_a_journal_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be a journal"):
        Journal(tmp_path / "file")
