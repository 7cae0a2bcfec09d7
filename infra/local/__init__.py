"""Everything that stands in for the cloud on one machine: `python -m infra.local`."""
