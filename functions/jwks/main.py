"""jwks: the public keys of the access tokens."""

import os
from functools import partial

from lib.accounts import keys
from lib.config import Environment
from lib.web.function import serve

env = Environment(os.environ)
jwks = serve([(keys.JWKS, partial(keys.jwks, env.tokens()))], env.web())
