"""What sums messages: chosen once, by hand if need be; and that a policy and a search are the same by either."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from natonnx.architecture import Architecture, State
from natonnx.errors import InputError
from natonnx.policy import LEARNERS, make_policy
from natonnx.policy.backend import VARIABLE, served, serving
from natonnx.policy.base import Policy, draw
from natonnx.policy.encode import FEATURES, encode
from natonnx.policy.gcn import GCNPolicy, _Convolution
from natonnx.policy.graph import edge_graph, joined
from natonnx.policy.pretrained import load_policy
from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds
from natonnx.search.propose import make_proposer
from tests.architecture.examples import chain, residual_network, with_cheaper
from tests.architecture.strategies import architectures, property_test
from tests.cli import tiny
from tests.policy.backends import by_both, needs_dgl, summed_by
from tests.policy.references import choices_of, seeded
from tests.policy.test_learners import bold
from tools.benchmarks.bench_propose import SyntheticScore

LEARNING = [learner for learner in LEARNERS if learner != "random"]


# Which one


@needs_dgl
def test_dgl_serves_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert str(serving()) == "dgl"
    assert served() == serving()


@needs_dgl
@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_dgl_serves_whoever_asks_first(mode: str) -> None:
    assert in_a_process(f"import torch\nwith torch.{mode}(): print(serving())") == "dgl"


def test_torch_serves_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "torch")
    assert str(serving()) == "torch (as asked)"
    with pytest.raises(InputError, match=r"^graph\.dgl\(\): messages are summed by torch \(as asked\); "):
        edge_graph(chain(2).topology).dgl()


def test_anything_else_is_refused_before_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "pyg")
    with pytest.raises(InputError, match=r"^NATONNX_MESSAGES=pyg: is neither dgl nor torch; [^\n]*$"):
        make_policy("gcn")


def in_a_process(code: str, *options: str, **environment: str) -> str:
    """What a program prints that has `serving` and `served`."""
    code = f"from natonnx.policy.backend import served, serving\n{code}"
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**{name: value for name, value in os.environ.items() if name != VARIABLE}, **environment},
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout.strip()


BROKEN = {
    "raise OSError('libdgl.so: cannot open\\nshared object file')": (
        "DGL cannot be used: OSError: libdgl.so: cannot open shared object file"
    ),
    "import sys; sys.exit('no backend')": "DGL cannot be used: SystemExit: no backend",
    "import no_such_torchdata": "DGL cannot be imported: No module named 'no_such_torchdata'",
    "raise ImportError('cannot import name X')": "DGL cannot be used: ImportError: cannot import name X",
    "import warnings; warnings.warn('\\\\p', SyntaxWarning)\nclass DGLGraph: pass": (
        "DGL cannot be used: AttributeError: module 'dgl' has no attribute 'heterograph'"
    ),
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_dgl_is_gone_round(source: str, tmp_path: Path) -> None:
    (tmp_path / "dgl.py").write_text(source)
    path = os.pathsep.join([str(tmp_path), str(tiny.ROOT)])
    found = in_a_process("print(served(), serving(), served())", "-W", "error", PYTHONPATH=path)
    assert found == f"None torch ({BROKEN[source]}) torch ({BROKEN[source]})"


def test_a_missing_dgl_is_done_without_unless_it_is_asked_for() -> None:
    hidden = "import sys; sys.modules['dgl'] = None\n"
    assert in_a_process(f"{hidden}print(serving())").startswith("torch (DGL ")
    code = f"{hidden}from natonnx.errors import InputError\ntry: serving()\nexcept InputError as error: print(error)"
    found = in_a_process(code, NATONNX_MESSAGES="dgl")
    assert found.startswith("NATONNX_MESSAGES=dgl: DGL cannot serve here (DGL ")
    assert found.endswith("); without it torch does")


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    tiny.fill(tmp_path)
    arguments = ("optimize", "model.onnx", "--data", "data.npz", "--learner", "gcn")
    done = tiny.natonnx(*arguments, cwd=tmp_path, NATONNX_MESSAGES="pyg")
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "NATONNX_MESSAGES=pyg: is neither dgl nor torch" in done.stderr


# The same by either


def logits_and_gradients(policy: Policy, betas: Sequence[Architecture]) -> list[Tensor]:
    """Of several architectures at once."""
    policy.zero_grad()
    features = torch.cat([torch.from_numpy(encode(beta)) for beta in betas]).requires_grad_()
    choices = torch.cat([choices_of(beta.topology) for beta in betas])
    found: Tensor = policy(features, choices, joined([edge_graph(beta.topology) for beta in betas]))
    torch.autograd.backward((found * torch.randn(found.shape, generator=seeded())).sum())
    gradients = [parameter.grad for parameter in [features, *policy.parameters()]]
    return [found.detach(), *(one for one in gradients if one is not None)]


def check_same(ones: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    for one, other in zip(ones, others, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@needs_dgl
@pytest.mark.parametrize("learner", LEARNING)
@settings(property_test, max_examples=40)
@given(st.data())
def test_logits_and_gradients_of_batches_are_the_same(learner: str, data: st.DataObject) -> None:
    some = st.one_of(architectures(known=False), architectures(9, concats=True)).filter(lambda one: one.states != ())
    betas = data.draw(st.lists(some, min_size=1, max_size=4))
    policy = bold(learner)
    check_same(*by_both(lambda: logits_and_gradients(policy, betas)))


@needs_dgl
@pytest.mark.parametrize("learner", LEARNING)
def test_logits_and_gradients_are_the_same_where_there_is_little(learner: str) -> None:
    policy = bold(learner)
    for betas in ([chain(1)], [chain(1), chain(0), chain(3)], [residual_network(1)] * 3):
        check_same(*by_both(lambda betas=betas: logits_and_gradients(policy, betas)))  # type: ignore[misc]


@needs_dgl
def test_the_shipped_policy_says_the_same() -> None:
    policy = make_policy("gcn-directed")
    load_policy(policy, "gcn-directed", "pretrained")
    for beta in (residual_network(6), with_cheaper(residual_network(3))):
        check_same(*by_both(lambda beta=beta: logits_and_gradients(policy, [beta])))  # type: ignore[misc]


@needs_dgl
@pytest.mark.parametrize("learner", LEARNERS)
def test_the_same_alphas_are_drawn(learner: str) -> None:
    def drawn() -> list[tuple[State, ...]]:
        return [one.states for one in draw(bold(learner), residual_network(5), 50, seeded()).architectures]

    one, other = by_both(drawn)
    assert one == other


@needs_dgl
@pytest.mark.parametrize("learner", ["gcn-directed", "gcn"])
def test_a_search_takes_the_same_way(learner: str) -> None:
    """Look-ups and, after dozens of steps of REINFORCE, weights."""
    beta = residual_network(5)
    score = SyntheticScore(beta, 0)

    def searched() -> tuple[list[tuple[State, ...]], list[Tensor]]:
        asked: list[tuple[State, ...]] = []

        def ask(alpha: Architecture) -> float:
            asked.append(alpha.states)
            return score(alpha)

        proposer = make_proposer(learner)
        proposer.propose(Lookups(beta, Madds(beta), ask, 40), [0.6], seeded())
        assert proposer.policy is not None
        return asked, [weights.clone() for weights in proposer.policy.state_dict().values()]

    (alphas, weights), (others, other_weights) = by_both(searched)
    assert len(alphas) > 30
    assert alphas == others
    check_same(weights, other_weights)
    start = make_policy(learner).state_dict().values()
    assert any(not torch.equal(one, other) for one, other in zip(weights, start, strict=True))


@needs_dgl
@pytest.mark.parametrize("widths", [(FEATURES, 64), (5, 9), (9, 5), (6, 6)])
def test_a_convolution_is_that_of_dgl(widths: tuple[int, int]) -> None:
    """Initial weights for a seed and their names, forward, and gradients."""
    import dgl
    from dgl.nn.pytorch import GraphConv

    graph = edge_graph(residual_network(3).topology)
    links = GCNPolicy()._mixing_of(graph)
    torch.manual_seed(5)
    theirs = GraphConv(*widths, norm="both", allow_zero_in_degree=True)
    torch.manual_seed(5)
    ours = _Convolution(*widths)
    assert [*theirs.state_dict()] == [*ours.state_dict()] == ["weight", "bias"]
    check_same([*theirs.state_dict().values()], [*ours.state_dict().values()])
    values = torch.randn(graph.nodes, widths[0], generator=seeded())
    whole = dgl.graph((links.sources, links.targets), num_nodes=graph.nodes)
    with summed_by("torch"):
        outputs: tuple[Tensor, Tensor] = theirs(whole, values), ours(values, links)
    share = torch.randn(outputs[0].shape, generator=seeded(1))
    gradients = [
        torch.autograd.grad(output, weight, share)[0]
        for output, weight in zip(outputs, (theirs.weight, ours.weight), strict=True)
    ]
    check_same([outputs[0].detach(), gradients[0]], [outputs[1].detach(), gradients[1]])


# For learners that call DGL


@needs_dgl
def test_a_learner_may_have_the_graph_of_dgl(monkeypatch: pytest.MonkeyPatch) -> None:
    import dgl

    monkeypatch.delenv(VARIABLE, raising=False)
    whole = joined([edge_graph(one.topology) for one in (residual_network(2), chain(0), chain(3))])
    graph = whole.dgl()
    assert isinstance(graph, dgl.DGLGraph)
    assert graph.batch_num_nodes().tolist() == whole.sizes.tolist() == [7, 0, 3]
    for name, links in whole.links.items():
        for ours, theirs in zip((links.sources, links.targets), graph.edges(etype=name), strict=True):
            assert torch.equal(ours, theirs)
    graph.ndata["value"] = values = torch.randn(10, 4, generator=seeded())
    means = dgl.mean_nodes(graph, "value")
    np.testing.assert_allclose(whole.mean(values), means)
    np.testing.assert_allclose(whole.spread(means), dgl.broadcast_nodes(graph, means))
    assert [one.num_edges("feeds") for one in dgl.unbatch(graph)] == graph.batch_num_edges("feeds").tolist()
