"""list-plans: what can be bought."""

import os
from functools import partial

from lib.billing import plans
from lib.config import Environment
from lib.web.function import serve

env = Environment(os.environ)
list_plans = serve([(plans.LIST_PLANS, partial(plans.list_plans, env.plans()))], env.web())
