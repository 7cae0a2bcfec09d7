"""The operator's command line: `python -m infra.cli`. It wires the services as the functions do."""
