"""Random sequences of edits and undos, on SQLite and on a PostgreSQL server."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.records.machine import CatalogueMachine
from tests.thorough import examples

SETTINGS = settings(
    deadline=None, stateful_step_count=20, suppress_health_check=list(HealthCheck)
)  # fmt: skip


def test_random_edits_and_undos(catalogue_url: str | None) -> None:
    class Machine(CatalogueMachine):
        url = catalogue_url

    number = examples(6 if catalogue_url is None else 3)
    run_state_machine_as_test(Machine, settings=settings(SETTINGS, max_examples=number))
