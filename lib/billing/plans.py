"""list-plans: what can be bought. Needs no database and no token."""

from lib.config import Plan
from lib.web.operation import Answer, Call, Operation, Who

LIST_PLANS = Operation(
    function="list-plans",
    method="GET",
    tag="Billing",
    summary="The plans that can be bought",
    who=Who.ANYONE,
    answers={200: "lib.billing.answers:PlansAnswer"},
)


def list_plans(plans: tuple[Plan, ...], _call: Call) -> Answer:
    listed = [
        {
            "code": plan.code,
            "name": plan.name,
            "level": plan.level,
            "price": {"amount": plan.amount, "currency": plan.currency, "interval": plan.interval},
            "trial_days": plan.trial_days,
            "streams": plan.streams,
        }
        for plan in plans
        if plan.sold
    ]
    return Answer(200, {"plans": listed}, headers={"Cache-Control": "public, max-age=60"})
