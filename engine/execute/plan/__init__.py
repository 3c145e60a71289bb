"""Graphs of arrays compiled to steps over memory that is used again."""

from engine.execute.plan.plan import Outcome, Plan, plan_of

__all__ = ["Outcome", "Plan", "plan_of"]
