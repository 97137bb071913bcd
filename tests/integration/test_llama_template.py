"""Chat templates of all sorts, on a real vocabulary: one BOS or none, a system turn or none, and nothing lost."""

import pytest

from pipeline.adapters.llama.template import ChatTemplate
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.errors import ModelError
from pipeline.domain.steps import Choice
from pipeline.prompts import Question

pytestmark = pytest.mark.model

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + TURNS
DROPS_SYSTEM = TURNS.replace("for m in messages", "for m in messages if m.role != 'system'")
SYSTEM_LAST = (  # as Mistral's templates print it
    "{% if messages[0].role == 'system' %}{% set said = messages[0].content %}{% set rest = messages[1:] %}"
    "{% else %}{% set rest = messages %}{% endif %}{% for m in rest %}<|im_start|>{{ m.role }}\n"
    "{% if loop.last and said is defined %}{{ said }}\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant{{ '\n' }}"
)
DEAF = "<|im_start|>assistant\n"
QUESTION = Question(
    step="s",
    system="Which colour?",
    shots=(("Text: grass\n\nColour:", "green"),),
    before="Text: ",
    after="\n\nColour:",
    form=Choice(("green", "blue")),
)


class WantsBos(Vocab):
    """A vocabulary whose model wants its inputs to begin with token 0, <|endoftext|>."""

    @property
    def bos(self) -> int:
        return 0


def text_of(vocab: Vocab, tokens: tuple[int, ...]) -> str:
    named = {token: text for text, token in vocab._markers.items()}
    return b"".join(named[token].encode() if token in named else vocab.piece(token) for token in tokens).decode()


def test_a_system_turn_and_examples_are_put_as_the_template_says(vocabulary: object) -> None:
    vocab = Vocab(vocabulary)
    prompt = ChatTemplate(TURNS, vocab).prompt(QUESTION)
    assert text_of(vocab, prompt.prefix) == (
        "<|im_start|>system\nWhich colour?<|im_end|>\n<|im_start|>user\nText: grass\n\nColour:<|im_end|>\n"
        "<|im_start|>assistant\ngreen<|im_end|>\n<|im_start|>user\nText:"
    )
    assert prompt.lead == " "
    assert text_of(vocab, prompt.suffix) == '\n\nColour:<|im_end|>\n<|im_start|>assistant\n{"answer": "'
    assert prompt.tail == 'assistant\n{"answer": "'


@pytest.mark.parametrize(
    "source", [NO_SYSTEM, DROPS_SYSTEM, SYSTEM_LAST], ids=["refuses it", "drops it", "prints it behind the examples"]
)
def test_a_template_without_a_system_turn_gets_it_in_the_first_user_turn(vocabulary: object, source: str) -> None:
    vocab = Vocab(vocabulary)
    template = ChatTemplate(source, vocab)
    assert text_of(vocab, template.prompt(QUESTION).prefix) == (
        "<|im_start|>user\nWhich colour?\n\nText: grass\n\nColour:<|im_end|>\n<|im_start|>assistant\ngreen<|im_end|>\n"
        "<|im_start|>user\nText:"
    )
    alone = Question(step="s", system="Q?", shots=(), before="Text: ", after="", form=QUESTION.form)
    assert text_of(vocab, template.prompt(alone).prefix) == "<|im_start|>user\nQ?\n\nText:"


@pytest.mark.parametrize(
    ("source", "wants", "count"),
    [(TURNS, False, 0), (TURNS, True, 1), ("<|endoftext|>" + TURNS, True, 1), ("<|endoftext|>" + TURNS, False, 1)],
)
def test_bos_comes_exactly_once_or_never(vocabulary: object, source: str, wants: bool, count: int) -> None:  # noqa: FBT001 — a parameter of the test
    vocab = WantsBos(vocabulary) if wants else Vocab(vocabulary)
    prompt = ChatTemplate(source, vocab).prompt(QUESTION)
    tokens = (*prompt.prefix, *prompt.suffix)
    assert tokens.count(0) == count
    assert (tokens[0] == 0) == bool(count)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for %}", "does not compile"),
        (DEAF, "does not print a user's turn"),
        ("{{ 10 ** (10 ** 9) }}" + TURNS, "does not print a user's turn"),
        ("{{ ('a' * 999999999) | length }}" + TURNS, "does not print a user's turn"),
        ("{{ '%999999999d' % 1 }}" + TURNS, "does not print a user's turn"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}" + TURNS, "does not print"),
        ("{% set n = namespace(x=9) %}{% for a in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}" + TURNS, "print"),
        (TURNS + "{{ messages[0].content }}", "does not print a user's turn"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}" + TURNS, "does not print a user's turn"),
        ("{{ messages.append(1) }}" + TURNS, "does not print a user's turn"),
    ],
)
def test_what_is_no_usable_template_is_a_model_error(vocabulary: object, source: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        ChatTemplate(source, Vocab(vocabulary))


def test_marks_of_what_a_model_is_trained_to_say_print_nothing(vocabulary: object) -> None:
    vocab = Vocab(vocabulary)
    marked = TURNS.replace("{{ m.content | trim }}", "{%- generation %}{{ m.content | trim }}{% endgeneration -%}")
    asked = ChatTemplate(
        marked.replace("{%- generation", "{% generation").replace("generation -%}", "generation %}"), vocab
    )
    assert asked.prompt(QUESTION) == ChatTemplate(TURNS, vocab).prompt(QUESTION)
    assert "<|im_start|>userText" in text_of(vocab, ChatTemplate(marked, vocab).prompt(QUESTION).prefix)


def test_a_template_that_prints_the_date_prints_the_same_every_day(vocabulary: object) -> None:
    vocab = Vocab(vocabulary)
    prompt = ChatTemplate("Today: {{ strftime_now('%d %b %Y') }}\n" + TURNS, vocab).prompt(QUESTION)
    assert text_of(vocab, prompt.prefix).startswith("Today: 26 Jul 2024\n<|im_start|>system")


def test_an_answer_continues_what_the_template_wrote_before_it(vocabulary: object) -> None:
    vocab = Vocab(vocabulary)
    template = ChatTemplate(TURNS, vocab)
    prompt = template.prompt(QUESTION)
    for answer in ("green", "größe", " spaced", "\n"):
        tokens = (*prompt.suffix, *template.answer_tokens(prompt, answer))
        assert text_of(vocab, tokens).endswith(f'assistant\n{{"answer": "{answer}')


def test_markers_that_a_file_calls_user_defined_are_reserved_once_a_template_uses_them(vocabulary: object) -> None:
    vocab = Vocab(vocabulary)
    (word,) = vocab.plain("green")
    vocab._user_defined["green"] = word  # as if the file had marked it so: llama.cpp would find it in any text
    assert word in vocab.plain("green grass")
    vocab.reserve("<|im_start|>green\n")
    tokens = vocab.plain("green grass is green")
    assert word not in tokens
    assert b"".join(map(vocab.piece, tokens)) == b"green grass is green"
    assert vocab.framed([("green", True)]) == [word]
