"""The HTML report: one page that needs no network.

`html_report` makes it of the payloads that --json prints; `check_report` says beforehand whether it may be written.
"""

from natonnx.report.html.page import check_report, html_report

__all__ = ["check_report", "html_report"]
