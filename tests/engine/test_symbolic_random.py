"""Written derivatives of random graphs: posted back, they are the engine's own gradients and Hessians."""

from __future__ import annotations

from hypothesis import given, settings

from tests.engine.helpers import ask, near
from tests.engine.test_random_graphs import Case, cases
from tests.engine.test_symbolic import posted, written


@settings(max_examples=40)
@given(cases())
def test_gradients_posted_back(case: Case) -> None:
    names = [n["id"] for n in case.document["nodes"]]
    gradients = ask("grad", case.document, case.inputs, wrt=names)["gradients"]
    for name, one in written(case.document, case.inputs, wrt=names)["derivatives"].items():
        near(posted(one["expression"], case.inputs), gradients[name], 1e-8, 1e-10)
        near(posted(one["graph"], case.inputs), gradients[name], 1e-8, 1e-10)


@settings(max_examples=15)
@given(cases(steps=5))
def test_hessians_posted_back(case: Case) -> None:
    names = list(case.inputs)
    hessian = ask("hessian", case.document, case.inputs, wrt=names)["hessian"]
    for name, one in written(case.document, case.inputs, wrt=names, order=2)["derivatives"].items():
        near(posted(one["expression"], case.inputs), hessian[name][name], 1e-7, 1e-9)
        near(posted(one["graph"], case.inputs), hessian[name][name], 1e-7, 1e-9)
    pair = [names[0], names[-1]]
    ((_, one),) = written(case.document, case.inputs, wrt=pair, mixed=True)["derivatives"].items()
    near(posted(one["graph"], case.inputs), hessian[pair[0]][pair[1]], 1e-7, 1e-9)
