"""Tables of results in Markdown."""

from tools.benchmarks.bench_search.row import Row

__all__ = ["page", "summary"]


def summary(row: Row) -> str:
    """Say in a line what a run found."""
    used = " + ".join(f"{row.images[kind] / 1000:.1f}k {kind}" for kind in ("look_ups", "training", "teacher"))
    return (
        f"{row.network} {row.method} at {row.target:g}, seed {row.seed}: {100 * row.accuracy:.2f} % "
        f"with {row.share:.3f} of the MAdds; {used}; {row.cpu_seconds:.0f} CPU s"
    )


def page(rows: list[Row]) -> str:
    return "\n".join(map(summary, rows))
