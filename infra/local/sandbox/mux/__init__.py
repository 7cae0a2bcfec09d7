"""A stand-in for Mux Video: direct uploads, real HLS made by ffmpeg, signed playback, webhooks."""

from infra.local.sandbox.mux.api import create_app

__all__ = ["create_app"]
