"""Uploaded files made into films by ffmpeg, for every stand-in that takes some."""
