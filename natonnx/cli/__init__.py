"""The command line. Importing it loads click alone: torch, DGL and onnxruntime load in the command that needs them."""

import sys
from collections.abc import Sequence

import click

from natonnx import __version__
from natonnx.cli.apply import apply_command
from natonnx.cli.bench import bench_command
from natonnx.cli.check import check_command
from natonnx.cli.diff import diff_command
from natonnx.cli.inspect import inspect_command
from natonnx.cli.optimize import optimize_command
from natonnx.cli.options import Arguments
from natonnx.errors import NatonnxError

__all__ = ["cli", "main"]

_INTERNAL, _INTERRUPTED = 3, 130

EPILOG = """
Exit codes: 0 done and all constraints met; 1 no architecture met them, the input model stands, a gate of check is not
met, or diff --exit-code found a difference; 2 bad usage or bad input; 3 a verification failed or an internal error; 130
interrupted, state saved.
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="natonnx %(version)s")
def cli() -> None:
    """Optimize the architecture of ONNX models by the Neural Architecture Transformer (NAT)."""


cli.add_command(inspect_command)
cli.add_command(optimize_command)
cli.add_command(apply_command)
cli.add_command(bench_command)
cli.add_command(check_command)
cli.add_command(diff_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: errors in one line on stderr, by the documented exit codes."""
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        code = cli.main(args=given, obj=Arguments(given), standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message())
        sys.exit(error.exit_code)
    except NatonnxError as error:
        _fail(str(error))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted")
        sys.exit(_INTERRUPTED)
    except Exception as error:  # a defect of natonnx, and the only failure that shows where it happened
        import traceback

        traceback.print_exc()
        _fail(f"internal error, please report it: {type(error).__name__}: {error}")
        sys.exit(_INTERNAL)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    click.echo(f"natonnx: error: {' '.join(message.split())}", err=True)
