"""Options of `natonnx optimize` that say what is searched: what is good, what it may cost, and how it is found."""

from collections.abc import Callable
from typing import Any

import click

from natonnx.cli.completion import names_or_files
from natonnx.cli.help import Section, option
from natonnx.policy import PROPOSERS

__all__ = ["search_options"]

_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    option(
        Section.OBJECTIVE,
        "--max-drop",
        type=float,
        metavar="POINTS",
        show_default="0.5 points; 5 of agreement",
        help="Most that validation may lose, in the unit that is printed.",
    ),
    option(
        Section.OBJECTIVE,
        "--objective",
        default="auto",
        metavar="NAME",
        shell_complete=names_or_files("auto", "labels", "agreement"),
        help="What is good: labels, those of the data; agreement, with the outputs of MODEL itself; auto, labels where"
        " there are any and MODEL is a classifier; package.module:object, an object of your own that scores samples.",
    ),
    option(
        Section.OBJECTIVE,
        "--confidence",
        type=float,
        metavar="SHARE",
        show_default="what validation loses decides",
        help="Write a model only if samples that nothing was selected on prove, at this confidence, such as 0.95, that"
        " it loses at most --max-drop.",
    ),
    option(
        Section.OBJECTIVE,
        "--reward",
        metavar="NAME",
        shell_complete=names_or_files("score", "likelihood"),
        help="package.module:function, which judges a model by running it, in place of the objective; or what"
        " --algorithm paper compares architectures by: score, the objective's, or likelihood, its loss.",
    ),
    option(
        Section.TARGETS,
        "--target-madds",
        metavar="TARGET,...",
        show_default="as few as --max-drop lets",
        help="Most MAdds: 0.7 of MODEL's, or 50M; of several, each gives a model.",
    ),
    option(
        Section.TARGETS,
        "--target-latency",
        metavar="TARGET,...",
        help="Most latency in onnxruntime, likewise: 0.7 or 5ms.",
    ),
    option(Section.TARGETS, "--target-params", metavar="TARGET,...", help="Most parameters, likewise: 0.7 or 1.5M."),
    option(
        Section.TARGETS, "--target-size", metavar="TARGET,...", help="Most bytes of the file, likewise: 0.7 or 2MB."
    ),
    option(Section.TARGETS, "--target-memory", metavar="TARGET,...", help="Most peak memory, likewise: 0.9 or 150MB."),
    option(
        Section.TARGETS,
        "--latency-threads",
        type=click.IntRange(1, 1024),
        default=1,
        metavar="N",
        help="Threads of onnxruntime while latency is measured.",
    ),
    option(
        Section.TARGETS,
        "--latency-batch",
        type=click.IntRange(1),
        metavar="N",
        show_default="1",
        help="Samples of an inference that is timed.",
    ),
    option(
        Section.TARGETS,
        "--latency-provider",
        default="cpu",
        metavar="NAME",
        help="Where onnxruntime runs what is timed, such as cuda.",
    ),
    option(
        Section.SEARCH,
        "--time-budget",
        type=float,
        metavar="SECONDS",
        show_default="no limit",
        help="For all of it: there are fewer look-ups then, and less training.",
    ),
    option(
        Section.SEARCH,
        "--dry-run",
        is_flag=True,
        help="Only say what would be done, what can be reached, and what it takes.",
    ),
    option(
        Section.SEARCH,
        "--resume",
        is_flag=True,
        help="Go on from where an interrupted run of the same command was.",
    ),
    option(
        Section.SEARCH,
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="Makes a run repeatable.",
    ),
    option(
        Section.SEARCH,
        "--learner",
        default=PROPOSERS[0],
        metavar="NAME",
        shell_complete=lambda _context, _option, start: [name for name in PROPOSERS if name.startswith(start)],
        help=f"What proposes architectures: {', '.join(PROPOSERS)}; or package.module:Policy, a policy of your own.",
    ),
    option(
        Section.SEARCH,
        "--lookups",
        type=int,
        metavar="N",
        show_default="by the number of transitions",
        help="Architectures that are compared.",
    ),
    option(
        Section.SEARCH,
        "--policy",
        metavar="WEIGHTS",
        shell_complete=names_or_files("pretrained", "scratch"),
        show_default="scratch",
        help="What the policy starts from: scratch, new weights; pretrained, those trained on NAS-Bench-201; or a file"
        " of --save-policy.",
    ),
    option(
        Section.SEARCH,
        "--algorithm",
        type=click.Choice(["refit", "paper"]),
        default="refit",
        help="refit: architectures are compared by weights that are refitted in closed form, and training goes into the"
        " few that are worth it; paper: Algorithm 1 of NAT, a supernet that is trained with the policy.",
    ),
    option(
        Section.SEARCH,
        "--epochs",
        type=int,
        metavar="N",
        show_default="8",
        help="Passes of --algorithm paper over the data.",
    ),
    option(
        Section.TRAINING,
        "--training/--no-training",
        default=True,
        help="Train the model that is written; without, its weights are refitted in closed form, in seconds.",
    ),
    option(
        Section.TRAINING,
        "--finetune-epochs",
        type=float,
        metavar="N",
        show_default="6; from scratch 60",
        help="Passes over the training data for each model.",
    ),
    option(
        Section.TRAINING,
        "--finalists",
        type=int,
        metavar="N",
        show_default="2",
        help="Architectures for each target that training begins with; the worse half is dropped early.",
    ),
    option(Section.TRAINING, "--batch", type=int, metavar="N", show_default="32", help="Samples of a training step."),
    option(
        Section.TRAINING,
        "--finetune-learning-rate",
        type=float,
        metavar="X",
        show_default="0.03; from scratch 0.1",
        help="The highest; it falls to 0.",
    ),
    option(
        Section.TRAINING,
        "--distillation",
        type=float,
        metavar="SHARE",
        show_default="0.5; from scratch 0",
        help="Share of the loss that follows MODEL's outputs.",
    ),
    option(
        Section.TRAINING,
        "--weight-decay",
        type=float,
        metavar="X",
        show_default="0.0005",
        help="Of what is trained, but biases and scales.",
    ),
    option(
        Section.TRAINING,
        "--augment",
        type=click.Choice(["none", "shift", "shift-flip"]),
        show_default="none, or what the model's metadata says",
        help="What training does to images: small shifts, or also flips.",
    ),
    option(
        Section.TRAINING,
        "--weights",
        type=click.Choice(["file", "scratch"]),
        default="file",
        help="Where training starts: from the file's weights or refitted ones; or from scratch, and MODEL is trained so"
        " too, equally long.",
    ),
    option(
        Section.TRAINING,
        "--batchnorm",
        type=click.Choice(["auto", "keep", "unfold"]),
        default="auto",
        help="unfold: train with BatchNormalization behind each convolution, and fold it back; keep: train what the"
        " file has; auto: unfold if the file has none and leaves the batch open.",
    ),
)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what is searched: the command gets each under its own name."""
    for each in reversed(_OPTIONS):
        command = each(command)
    return command
