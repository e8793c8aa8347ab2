"""The command line. Importing it loads click alone: torch, DGL and onnxruntime load in the command that needs them."""

import signal
import sys
from collections.abc import Sequence

import click

from natonnx import __version__
from natonnx.cli.apply import apply_command
from natonnx.cli.bench import bench_command
from natonnx.cli.check import check_command
from natonnx.cli.completion import PROGRAM, complete, completion_command
from natonnx.cli.demo import demo_command
from natonnx.cli.diff import diff_command
from natonnx.cli.doctor import doctor_command
from natonnx.cli.help import Command, Commands
from natonnx.cli.inspect import inspect_command
from natonnx.cli.optimize import optimize_command
from natonnx.cli.options import Arguments
from natonnx.cli.process import (
    abandon,
    fail,
    is_closed_pipe,
    is_out_of_memory,
    is_output_failure,
    open_streams,
    signals,
)
from natonnx.cli.worker import worker_command
from natonnx.errors import InputError, NatonnxError, first_line, what_ran
from natonnx.limits import scale

__all__ = ["cli", "main"]

_INTERNAL, _SIGNALLED = 3, 128
_SIGPIPE = 13
"""By its number, for Windows has none."""

EPILOG = """
\b
Exit codes:
    0  done, all constraints met
    1  no architecture met them, the input model stands;
       or a gate of check failed;
       or diff --exit-code found a difference;
       or doctor found that optimize cannot run
    2  bad usage or bad input
    3  a verification failed, or an internal error
    4  a gate of check is undecided, none failed
  130  interrupted, the state is saved

Models that would take much time or memory to read are refused; NATONNX_LIMITS in the environment multiplies the limits.
"""


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=(
        ("natonnx optimize model.onnx --data images/ --target-madds 0.7", "writes model.nat.onnx"),
        ("natonnx help optimize", "all that it can be told"),
    ),
)
@click.version_option(__version__, message="natonnx %(version)s", help="Show the version and exit.")
def cli() -> None:
    """Optimize the architecture of ONNX models by the Neural Architecture Transformer (NAT)."""
    scale()


@click.command(
    "help",
    cls=Command,
    short_help="Show the help of a command.",
    examples=(("natonnx help optimize", "as natonnx optimize --help does"),),
)
@click.argument("command", required=False)
@click.pass_context
def help_command(context: click.Context, command: str | None) -> None:
    """Show the help of COMMAND."""
    root = context.find_root()
    if command is None:
        click.echo(root.get_help())
        return
    name, found, _ = cli.resolve_command(root, [command])
    assert found is not None
    click.echo(found.get_help(click.Context(found, root, name)))


cli.add_command(demo_command)
cli.add_command(inspect_command)
cli.add_command(optimize_command)
cli.add_command(apply_command)
cli.add_command(bench_command)
cli.add_command(check_command)
cli.add_command(diff_command)
cli.add_command(worker_command)
cli.add_command(doctor_command)
cli.add_command(completion_command)
cli.add_command(help_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: errors in one line on stderr, by the documented exit codes."""
    open_streams()
    with signals() as heard:
        sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments), heard))


def _run(given: Sequence[str], heard: Sequence[KeyboardInterrupt] = ()) -> int:
    """Run a command line; returns its exit code. What fails after a signal that was heard, failed by it."""
    if any("\0" in word for word in given):  # no shell passes one, but a caller of `main` may
        fail("an argument holds a zero byte, which no name of a file does; leave it out")
        return InputError.exit_code
    try:
        code = complete(cli)
        if code is None:
            with cli.make_context(PROGRAM, list(given), obj=Arguments(given)) as context:
                code = cli.invoke(context)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        fail(_with_advice(error))
        return error.exit_code
    except NatonnxError as error:
        fail(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        return _interrupted(error)
    except Exception as error:
        if isinstance(error, OSError) and is_closed_pipe(error):  # whoever read the output has read enough
            abandon(sys.stdout)
            abandon(sys.stderr)
            return _SIGNALLED + _SIGPIPE
        if heard:
            return _interrupted(heard[-1])
        if isinstance(error, OSError) and is_output_failure(error):
            fail(
                f"{error.filename or 'the output'}: cannot be written ({error.strerror}); make room, or write elsewhere"
            )
            abandon(sys.stdout)
            return InputError.exit_code
        if (own := what_ran(error)) is not None:
            fail(f"{own}: failed with {type(error).__name__}: {error}")
            return InputError.exit_code
        if is_out_of_memory(error):
            fail(f"there is not enough memory for it ({first_line(error)}); give less data, or use a larger machine")
            return InputError.exit_code
        import traceback  # a defect of natonnx, and the only failure that shows where it happened

        traceback.print_exc()
        fail(f"internal error, please report it: {type(error).__name__}: {error}")
        return _INTERNAL


def _interrupted(error: BaseException) -> int:
    fail("; ".join([str(error) or "interrupted", *getattr(error, "__notes__", ())]))
    return _SIGNALLED + getattr(error, "number", signal.SIGINT)


def _with_advice(error: click.ClickException) -> str:
    """The message, and where to look what is right if it does not say so itself."""
    message = error.format_message()
    if not isinstance(error, click.UsageError) or error.ctx is None or "; " in message or message.endswith("?"):
        return message
    return f"{message.rstrip('.')}; see '{error.ctx.command_path} --help'"
