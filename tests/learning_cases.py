"""Tickets that tests make up to learn from: three topics, and some that belong to none."""

import itertools

BEGINNINGS = ("Hello, ", "Good morning, ", "Dear team, ", "", "Hi there, ", "Once more: ")
ENDS = ("", " Please help.", " Thank you!", " It is urgent.", " What can I do?")
TOPICS: dict[str | None, tuple[str, ...]] = {
    "billing": (
        "the invoice shows the wrong amount",
        "I was charged twice this month",
        "please refund the payment",
        "the receipt lacks our tax number",
    ),
    "technical": (
        "the app crashes on start",
        "the page shows an error",
        "the export never finishes",
        "the server does not respond",
    ),
    "account": (
        "I cannot sign in with my password",
        "please change my profile name",
        "give a colleague permission to read",
        "the login code never arrives",
    ),
    None: (
        "the weather is lovely in the mountains",
        "my cat sleeps all day long",
        "we sang songs near the lake",
        "the soup needs more salt",
    ),
}
LABELS = tuple(topic for topic in TOPICS if topic is not None)


def tickets(*topics: str | None) -> list[tuple[str, str | None]]:
    """Return 120 different tickets of each topic with the topic, in turn."""
    columns = [
        [(f"{begin}{said}.{end}", topic) for begin, end, said in itertools.product(BEGINNINGS, ENDS, TOPICS[topic])]
        for topic in topics
    ]
    return [row for rows in zip(*columns, strict=True) for row in rows]
