"""Strict, stateful stand-ins for the services Streamly talks to, spoken to over HTTP."""
