"""What `optimize` returns."""

from dataclasses import dataclass, field
from pathlib import Path

import onnx

from natonnx.architecture import Edit
from natonnx.contract.inspect import Inspection
from natonnx.contract.optimize import OptimizeReport
from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.rewrite.write import check_output, own_files, write_model

__all__ = ["Result", "check_place"]


@dataclass(frozen=True, eq=False)
class Result:
    """What a search found: a better model, or that the input stands.

    Attributes:
        edits: What was changed, to be replayed by `natonnx.apply`; empty where the input stands.
        output: Where the better model was written; None where there is none, or it was only to be found.
        model: The better model, verified; None where the input stands. Weights that the input has in data files beside
            it may still lie there: write it by `save`.
        report: What `natonnx optimize --json` prints.
        inspection: What `natonnx inspect --json` prints of the input model.
        source: The input model.
    """

    edits: tuple[Edit, ...]
    output: Path | None
    model: onnx.ModelProto | None = field(repr=False)
    report: OptimizeReport = field(repr=False)
    inspection: Inspection = field(repr=False)
    source: Source = field(repr=False)

    @property
    def improved(self) -> bool:
        """Whether there is a better model."""
        return self.model is not None

    def save(self, path: Path | str, *, force: bool = False) -> Path:
        """Write the better model, and data files beside it where the input has such: whole or not at all.

        Args:
            path: Where.
            force: Overwrite a file that natonnx did not write; the input's are never overwritten.

        Returns:
            The path.

        Raises:
            InputError: If there is no better model, or the path cannot be written.
        """
        if self.model is None:
            raise InputError(f"{path}: nothing to save, no better architecture was found; the input model stands")
        path = Path(path)
        check_place(self.source, path, force=force)
        write_model(self.model, self.source.network.folder, path)
        return path

    def html(self) -> str:
        """Return the report as one page that needs no network: what `natonnx optimize --html` writes."""
        from natonnx.policy.backend import served
        from natonnx.report.environment import environment
        from natonnx.report.html import html_report

        return html_report(self.inspection, environment(messages=served()), self.report)

    def markdown(self) -> str:
        """Return what was found in a few tables: what `natonnx optimize --markdown` writes."""
        from natonnx.report.markdown import optimization

        return optimization(self.report)


def check_place(source: Source, path: Path, *, force: bool) -> None:
    """Refuse a path where a model that was edited from this one may not be written.

    Raises:
        InputError: See `natonnx.rewrite.write.check_output`.
    """
    model = source.network.model
    check_output(path, source.file, model, own_files(model, path), force=force)
