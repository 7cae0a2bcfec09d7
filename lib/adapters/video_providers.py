"""Which video providers are set up, each as `Videos`. Their clients are loaded with the first call."""

from collections.abc import Callable, Mapping

from lib.adapters.cloudflare_videos import CloudflareVideos
from lib.adapters.mux_videos import MuxVideos
from lib.config import Environment
from lib.video.ports import Videos


def video_providers(env: Environment) -> Mapping[str, Videos]:
    """Provider -> its adapter, the one for new uploads first.

    Raises:
        ConfigError: one of them is set up by half.
    """
    makers: Mapping[str, Callable[[], Videos]] = {
        "mux": lambda: MuxVideos(env.mux(), env.app_url()),
        "cloudflare": lambda: CloudflareVideos(env.cloudflare()),
    }
    return {name: makers[name]() for name in env.video_providers()}
