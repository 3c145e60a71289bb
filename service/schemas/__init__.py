"""The bodies of requests and answers as pydantic models: what is checked, and what the OpenAPI document says.

Requests are checked strictly, and unknown fields refused. The models check the envelope only: the types of fields,
their choices, lists of names. What is inside `graph` and `inputs` (and other values) is left to the engine, so that a
graph of 10⁵ nodes costs nothing here; the published schema describes it all the same.

Answers are not passed through their models, which would cost more than computing them; the tests do that.
"""

from __future__ import annotations

from service.schemas.check import CheckAnswer, CheckRequest
from service.schemas.compare import CompareAnswer, CompareRequest
from service.schemas.derivative import DerivativeAnswer, DerivativeRequest
from service.schemas.derivatives import (
    EvaluateAnswer,
    EvaluateRequest,
    GradAnswer,
    GradRequest,
    HessianAnswer,
    HessianRequest,
    HvpAnswer,
    HvpRequest,
    JacobianAnswer,
    JacobianRequest,
    JvpAnswer,
    JvpRequest,
    TaylorAnswer,
    TaylorRequest,
    VjpAnswer,
    VjpRequest,
)
from service.schemas.landscape import LandscapeAnswer, LandscapeRequest
from service.schemas.minimize import MinimizeAnswer, MinimizeRequest
from service.schemas.operations import LimitsDocument, OpDocument, OpsDocument, StatusDocument
from service.schemas.program import Answer, ProgramRequest, RunAnswer
from service.schemas.programs import Cost, ParseAnswer, ParseRequest, RenderRequest
from service.schemas.propagate import PropagateAnswer, PropagateRequest
from service.schemas.registry import (
    MAX_DESCRIPTION,
    NAME,
    InputRecord,
    NameRecord,
    ProgramDocument,
    ProgramPage,
    ProgramRecord,
    RegisterRequest,
)
from service.schemas.trace import (
    Constraint,
    Contribution,
    ForwardStep,
    ReverseStep,
    TraceAnswer,
    TraceRequest,
)

__all__ = [
    "Answer",
    "CheckAnswer",
    "CheckRequest",
    "CompareAnswer",
    "CompareRequest",
    "Constraint",
    "Contribution",
    "Cost",
    "DerivativeAnswer",
    "DerivativeRequest",
    "EvaluateAnswer",
    "EvaluateRequest",
    "ForwardStep",
    "GradAnswer",
    "GradRequest",
    "HessianAnswer",
    "HessianRequest",
    "HvpAnswer",
    "HvpRequest",
    "InputRecord",
    "JacobianAnswer",
    "JacobianRequest",
    "JvpAnswer",
    "JvpRequest",
    "LandscapeAnswer",
    "LandscapeRequest",
    "LimitsDocument",
    "MAX_DESCRIPTION",
    "MinimizeAnswer",
    "MinimizeRequest",
    "NAME",
    "NameRecord",
    "OpDocument",
    "OpsDocument",
    "ParseAnswer",
    "ParseRequest",
    "ProgramDocument",
    "ProgramPage",
    "ProgramRecord",
    "ProgramRequest",
    "PropagateAnswer",
    "PropagateRequest",
    "RegisterRequest",
    "RenderRequest",
    "ReverseStep",
    "RunAnswer",
    "StatusDocument",
    "TaylorAnswer",
    "TaylorRequest",
    "TraceAnswer",
    "TraceRequest",
    "VjpAnswer",
    "VjpRequest",
]
