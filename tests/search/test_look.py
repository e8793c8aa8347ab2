"""Look-ups: weights refitted on training samples, scored on samples that are held out."""

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from natonnx.architecture import Architecture, State
from natonnx.data import LoadOptions
from natonnx.data.batches import Batch, StreamBatches
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.search import Problem, RunnableModel
from natonnx.search.assess import original_runner
from natonnx.search.keys import signature
from natonnx.search.look import Looker, as_arrays, calibration_batches, refit_on
from natonnx.search.propose.moves import Moves
from natonnx.session import run, session
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_model, tiny_problem, tiny_split


def looker_of(problem: Problem, seed: int = 0) -> Looker:
    supernet = Supernet(problem.network).eval()
    return Looker(problem, supernet, original_runner(problem, supernet), seed)


def edited(problem: Problem) -> list[Architecture]:
    return [move.architecture for move in Moves(problem.network.architecture, problem.prices[0]).all]


def accuracy(model: onnx.ModelProto) -> float:
    """Of a file in onnxruntime, on the validation split."""
    split = tiny_split(90, 2)
    logits = run(session(model, 1, None), {"image": split.inputs["image"]})["logits"]
    return float((logits.argmax(1) == split.targets).mean())


def test_a_score_is_that_of_the_file_with_the_refitted_weights(problem: Problem) -> None:
    """In onnxruntime, on all of the validation split, as it has fewer samples than look-ups take."""
    looker, given = looker_of(problem), Supernet(problem.network).eval()
    refit, _ = refit_on(problem, given, 160, 0, 4096, per_feature=2.0)
    found = set()
    for alpha in (problem.network.architecture, *edited(problem)):
        ranking = looker(alpha)
        score = looker.scores[signature(alpha)]
        weights = {**given.weights(), **as_arrays(refit.run(alpha)[0])}
        assert score.value == pytest.approx(accuracy(build(problem.network, alpha, weights)))
        assert (score.ranking, score.samples) == (ranking, 90)
        found.add(ranking)
    assert len(found) > 5


def test_what_is_kept_comes_out_of_what_the_process_may_take(problem: Problem) -> None:
    """A process that is full keeps nothing, and finds the same to the bit."""
    lean = replace(problem, loading=LoadOptions(memory="1B"))
    rich, poor = looker_of(problem), looker_of(lean)
    for alpha in edited(problem)[:6]:
        assert rich.rank_by_given(alpha) == poor.rank_by_given(alpha)
        assert rich(alpha) == poor(alpha)
    assert rich.kept_bytes > poor.kept_bytes == 0


def test_nothing_is_looked_up_twice(problem: Problem) -> None:
    """Nor what computes the same as something that was: edges that carry nothing any more may be anything."""
    looker, beta = looker_of(problem), problem.network.architecture
    names = [edge.name for edge in beta.topology.edges]
    without_block = beta.with_states(
        tuple(State.N if name == "second" else state for name, state in zip(names, beta.states, strict=True))
    )
    idle = without_block.with_states(
        tuple(State.N if name == "first" else state for name, state in zip(names, without_block.states, strict=True))
    )
    assert without_block.states != idle.states
    first = looker(without_block)
    images = looker.images
    assert images == 160 + 90
    assert looker(idle) == first
    assert (looker.images, len(looker.scores)) == (images, 1)


def test_what_it_learnt_comes_back_from_a_file(problem: Problem) -> None:
    looker, again = looker_of(problem), looker_of(problem)
    found = [looker(alpha) for alpha in edited(problem)[:3]]
    buffer = io.BytesIO()
    torch.save(looker.to_dict(), buffer)
    again.load_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    images = again.images
    assert [again(alpha) for alpha in edited(problem)[:3]] == found
    assert again.images == looker.images == images
    assert again(edited(problem)[4]) == looker(edited(problem)[4])


def test_the_original_stays_as_it_is(problem: Problem) -> None:
    supernet = Supernet(problem.network).eval()
    before = supernet.weights()
    looker = Looker(problem, supernet, original_runner(problem, supernet), 0)
    scores = [looker(alpha) for alpha in edited(problem)[:4]]
    assert all(np.array_equal(value, before[name]) for name, value in supernet.weights().items())
    assert [looker_of(problem)(alpha) for alpha in reversed(edited(problem)[:4])] == scores[::-1]


def test_the_users_own_reward_ranks(problem: Problem) -> None:
    def small(model: RunnableModel) -> float:
        return -float(model(torch.from_numpy(tiny_split(30, 5).inputs["image"])).std())

    looker = looker_of(replace(problem, reward=small))
    plain = looker_of(problem)
    for alpha in edited(problem)[:3]:
        ranking = looker(alpha)
        plain(alpha)
        score = looker.scores[signature(alpha)]
        assert score.value == score.ranking == ranking < 0
        assert score.figures == plain.scores[signature(alpha)].figures
        assert score.standard_error == 0


def test_samples_of_a_fixed_batch_are_filled_up() -> None:
    """Whole batches alone, of what there is; a file of any batch gets what there is."""
    model = tiny_model()
    fixed = tiny_model()
    for info in (*fixed.graph.input, *fixed.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = 7
    for given, sizes in ((model, [20]), (fixed, [7, 7, 7])):
        network = parse(given)
        problem = tiny_problem(network, network.architecture, train=tiny_split(20, 1))
        batches = calibration_batches(problem, problem.train, 160, 0, Supernet(network).eval())
        assert [batch.size for batch in batches] == sizes
        assert sum(len(batch.inputs["image"]) for batch in batches) == sum(sizes)
        assert refit_on(problem, Supernet(network).eval(), 160, 0)[1] == sum(sizes)


@pytest.mark.parametrize("is_ordered", [True, False])
def test_a_source_is_read_once_or_where_it_shuffles_asked_for_few(problem: Problem, is_ordered: bool) -> None:
    read = 0

    def source() -> Iterator[Batch]:
        nonlocal read
        for seed in range(200):
            read += 50
            yield from tiny_split(50, seed).batches(50)

    split = StreamBatches(source, tiny_split(1, 1).axes, True, is_ordered=is_ordered)
    looker = looker_of(replace(problem, train=split, validation=split))
    assert looker(edited(problem)[0]) < 0
    assert looker.images == 160 + 500
    assert read == 200 * 50 if is_ordered else read <= 160 + 500 + 100
