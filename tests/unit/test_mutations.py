"""The list of infra/gcp/tests/mutations.py, which takes ten minutes to run: it names every fact, and what it breaks is there."""

from infra.gcp.tests.mutations import CONFIGURATION, MUTATIONS, facts


def test_every_fact_of_the_plans_has_a_mutation_and_none_has_outlived_its_fact() -> None:
    asserted = set().union(*(facts(page) for page in (CONFIGURATION / "tests").glob("*.tftest.hcl")))
    assert {mutation.fact for mutation in MUTATIONS} == asserted


def test_a_mutation_changes_something() -> None:
    texts = {
        path.relative_to(CONFIGURATION).as_posix(): path.read_text() for path in CONFIGURATION.rglob("*.*")
    }
    stale = [m.fact for m in MUTATIONS if m.old not in texts[m.file] or m.old == m.new]
    assert stale == []
