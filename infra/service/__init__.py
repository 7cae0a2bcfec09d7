"""All functions in one process behind one port: on Cloud Run as one service, and under `make run`."""
