"""`python -m natonnx`, and the command `natonnx`."""

import sys

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; ^C ends it in one line even while its modules load."""
    try:
        from natonnx.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("natonnx: error: interrupted\n")
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
