"""Built-in chat templates print every turn once and in order, and a file and a job make exactly one template."""

from typing import cast

import pytest
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.adapters.llama.template import ChatTemplate
from pipeline.adapters.llama.templates import TEMPLATES, refuse_template, template_text
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.errors import ConfigError, ModelError
from pipeline.domain.tiers import BUILT_IN_TEMPLATES, Tier

EDGES = {"bos_token": "<s>", "eos_token": "</s>"}
TALK = [("system", "S"), ("user", "A"), ("assistant", "B"), ("user", "C")]


class Words:
    """As much of a vocabulary as a template that fails gets to see."""

    def named(self, _name: str) -> str:
        return ""


@pytest.mark.parametrize(
    "source",
    [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'a' * (2 ** 62) }}",
        "{{ 2.0 ** 9999 }}",
        "{{ 'a'.encode('none') }}",
        "{{" + "(" * 100_000 + "1" + ")" * 100_000 + "}}",
    ],
)
def test_a_template_that_recurses_or_takes_memory_without_end_is_a_model_error(source: str) -> None:
    with pytest.raises(ModelError, match="chat template does not"):
        ChatTemplate(source, cast("Vocab", Words()))
    with pytest.raises(ModelError, match=r"chat template (failed|does not compile): [A-Za-z]+Error$"):
        ChatTemplate(
            f"{{% if messages|length > 2 %}}{source}{{% endif %}}{TEMPLATES['chatml']}", cast("Vocab", Words())
        ).render([{"role": role, "content": content} for role, content in TALK])


def printed(name: str, turns: list[tuple[str, str]]) -> str:
    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    messages = [{"role": role, "content": content} for role, content in turns]
    return environment.from_string(TEMPLATES[name]).render(messages=messages, **EDGES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "chatml",
            (
                "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n"
                "<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n"
            ),
        ),
        ("llama-2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nA [/INST] B </s><s>[INST] C [/INST]"),
        ("plain", "S\n\nUser: A\nAssistant:\nB</s>\n\nUser: C\nAssistant:\n"),
    ],
)
def test_a_template_with_a_system_turn_prints_as_documented(name: str, expected: str) -> None:
    assert printed(name, TALK) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "gemma",
            (
                "<s><start_of_turn>user\nA<end_of_turn>\n<start_of_turn>model\nB<end_of_turn>\n"
                "<start_of_turn>user\nC<end_of_turn>\n<start_of_turn>model\n"
            ),
        ),
        ("mistral-instruct", "<s>[INST] A [/INST] B</s>[INST] C [/INST]"),
    ],
)
def test_a_template_without_a_system_turn_refuses_one_and_prints_the_rest(name: str, expected: str) -> None:
    assert printed(name, TALK[1:]) == expected
    with pytest.raises(TemplateError):
        printed(name, TALK)


def test_llama_2_opens_with_the_user_where_there_is_no_system_turn() -> None:
    assert printed("llama-2", TALK[1:]) == "<s>[INST] A [/INST] B </s><s>[INST] C [/INST]"


def test_a_name_gives_the_built_in_text_and_a_text_itself() -> None:
    assert template_text("plain") == TEMPLATES["plain"]
    assert template_text("{{ messages }}") == "{{ messages }}"


def test_a_file_without_a_template_is_refused_unless_the_job_names_one_and_one_with_its_own_if_it_does() -> None:
    refuse_template("m.gguf", None, has_own=True)
    refuse_template("m.gguf", "plain", has_own=False)
    with pytest.raises(ModelError, match="set chat_template in the tier: chatml, gemma"):
        refuse_template("m.gguf", None, has_own=False)
    with pytest.raises(ConfigError, match=r"m\.gguf has a chat template of its own.*remove chat_template"):
        refuse_template("m.gguf", "plain", has_own=True)


@pytest.mark.parametrize("named", [*BUILT_IN_TEMPLATES, "my.jinja", "{{ messages[0].content }}"])
def test_a_tier_names_a_built_in_a_file_or_holds_a_text(named: str) -> None:
    assert Tier(name="t", engine="llama", model="m", chat_template=named).chat_template == named


def test_a_tier_with_another_name_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match=r"there are: chatml.*\.jinja"):
        Tier(name="t", engine="llama", model="m", chat_template="chatlm")
