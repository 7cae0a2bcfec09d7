"""A stand-in for Cloudflare Stream: direct uploads by form and tus, real HLS, signed playback, webhooks."""

from infra.local.sandbox.cloudflare.api import create_app

__all__ = ["create_app"]
