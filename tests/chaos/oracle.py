"""What must be true at the end, whatever was done: to every question its one right answer, every repeat counted."""

from dataclasses import asdict, dataclass
from typing import Any

from tests.acceptance.conftest import lines_of
from tests.chaos.endpoint import label_of
from tests.chaos.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Account:
    """A run's end against what an undisturbed run comes to."""

    lost: int
    """Questions without an outcome."""
    wrong: int
    """Answers that are not what the engine says of the text."""
    duplicated: int
    """Questions with more than one outcome."""
    paid_twice: int
    """Completions that the endpoint gave beyond one for each text."""
    unbooked: int
    """Completions that the endpoint gave and the ledger does not have: their worker or its connection was lost."""
    refused: int
    """Calls that are booked and whose answers came too late to be recorded."""
    unexplained: int
    """Booked calls that are neither the one of a question's answer nor refused."""

    def as_json(self) -> dict[str, int]:
        return asdict(self)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, doubled or changed, and every repeat has its reason."""
        return not (self.lost or self.wrong or self.duplicated or self.unexplained)


def account_of(scene: Scene) -> Account:
    """Compare a finished run's tables, and what the endpoint counted, with the undisturbed run."""
    texts = lines_of(scene.items).splitlines()
    lines: list[Any] = scene.shell.results(scene.run)
    answers = {line["line"]: line["answers"]["mood"] for line in lines}
    missing = [number for number in range(1, scene.items + 1) if answers.get(number, {}).get("state") != "verdict"]
    wrong = [
        number
        for number, answer in answers.items()
        if answer["state"] == "verdict" and (answer["value"], answer["tier"]) != (label_of(texts[number - 1]), "large")
    ]
    doubled = scene.rows("SELECT count(*) FROM (SELECT FROM verdicts GROUP BY item_no, step_no HAVING count(*) > 1) d")
    booked = scene.rows(
        "SELECT count(*), count(*) FILTER (WHERE refused) FROM ledger WHERE tier_no = 1 AND tokens_in > 0"
    )
    completed = scene.endpoint.completed
    return Account(
        lost=len(missing),
        wrong=len(wrong),
        duplicated=int(doubled[0][0]) + len(lines) - len(answers),
        paid_twice=scene.endpoint.repeats,
        unbooked=sum(completed.values()) - int(booked[0][0]),
        refused=int(booked[0][1]),
        unexplained=int(booked[0][0]) - int(booked[0][1]) - scene.items,
    )
