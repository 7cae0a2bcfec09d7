"""upload-asset: an admin announces a film."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.video_providers import video_providers
from lib.config import Environment
from lib.database.engine import open_database
from lib.video import uploads
from lib.web.function import serve
from lib.web.idempotency import IdempotentAnswers

env = Environment(os.environ)
database = open_database(env.database())
places = uploads.Uploads(database, video_providers(env))
upload_asset = serve(
    [(uploads.UPLOAD_ASSET, partial(uploads.upload_asset, places))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
    idempotency=IdempotentAnswers(database),
)
