"""What a worker does next."""

from pathlib import Path

from natonnx.search.parallel.journal import Journal
from natonnx.verbs.work import claim_any

TASK = ("LookUp", {"states": "OSN"})


def test_a_search_without_work_keeps_nobody_from_another_one(tmp_path: Path) -> None:
    """Such as one that was interrupted; and the search that a worker is ready for comes first."""
    search, worker = Journal(tmp_path), Journal(tmp_path)
    for run in ("interrupted", "second", "third"):
        search.begin(run, {"model": run})
    search.post("second", {"a": TASK})
    search.post("third", {"b": TASK, "c": TASK})
    worker.refresh()
    with worker.living():
        run, name = claim_any(worker, "third") or ("", "")
        assert run == "third"
        worker.finish(name, {})
        assert claim_any(worker) == ("second", "a")
        worker.finish("a", {})
        run, name = claim_any(worker, "second") or ("", "")
        assert run == "third"
        worker.finish(name, {})
        assert claim_any(worker) is None
