"""`python -m infra.cli` (or `make ops ARGS="…"`)."""

from infra.cli.program import program

if __name__ == "__main__":
    program(prog_name="python -m infra.cli")
