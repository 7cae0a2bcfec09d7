"""api-docs: the API's description and two ways to read it."""

import os
from pathlib import Path

from lib.config import Environment
from lib.web import documentation
from lib.web.function import serve

env = Environment(os.environ)
api_docs = serve(documentation.routes(Path(__file__).parent), env.web())
