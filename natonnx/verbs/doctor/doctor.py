"""`doctor`: look at what is installed, let it run, look at the machine."""

from natonnx.contract.doctor import Diagnosis
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.report.environment import environment
from natonnx.verbs.doctor.packages import find_packages, installed, wanted
from natonnx.verbs.doctor.place import find_place, host
from natonnx.verbs.doctor.runs import find_runs

__all__ = ["doctor"]


def doctor(seconds: float = 120.0) -> Diagnosis:
    """Find out what of natonnx runs here: the payload of `natonnx doctor --json`.

    Args:
        seconds: That each process may take which loads and runs something.
    """
    asked = wanted()
    versions = environment()["versions"] | {each.name: installed(each.name) for each in asked if not each.is_runtime}
    uses_dgl = versions["dgl"] is not None or any(each.name == "dgl" for each in asked)
    here = host()
    findings = [*find_packages(asked), *find_runs(seconds, dgl=uses_dgl), *find_place(here)]
    return {
        "schema": SCHEMA_VERSION,
        "ready": all(each["mark"] == "ok" for each in findings if each["needed"]),
        "versions": versions,
        "host": here,
        "findings": findings,
    }
