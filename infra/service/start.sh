#!/bin/sh
# What the image starts: one function if FUNCTION_TARGET names it, else all of them behind one port.
set -eu
export PORT="${PORT:-8080}" THREADS="${THREADS:-8}"

# functions-framework reads FUNCTION_TARGET, PORT and THREADS by itself.
if [ -n "${FUNCTION_TARGET:-}" ]; then
  exec functions-framework
fi

# Loaded before the fork, as functions-framework does: a wrong setting ends the process with its one line.
# Cloud Run bounds each request, so gunicorn does not; it gives an instance ten seconds to end.
exec gunicorn 'infra.service.app:app()' \
  --preload --bind "0.0.0.0:$PORT" \
  --worker-class gthread --workers 1 --threads "$THREADS" \
  --timeout 0 --graceful-timeout 8 --limit-request-line 0 \
  --no-control-socket --log-level error
