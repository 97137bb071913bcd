"""A chat template comes in a stranger's file: it reaches nothing of Python's, and ends soon and small."""

import pytest
from jinja2.exceptions import TemplateError

from pipeline.adapters.llama.sandbox import BoundedSandbox
from pipeline.adapters.llama.templates import TEMPLATES

MESSAGES = [{"role": "user", "content": "hello"}]


def rendered(source: str) -> str:
    sandbox = BoundedSandbox()
    template = sandbox.from_string(source)
    sandbox.begin()
    return template.render(
        {"messages": MESSAGES, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__ }}",
        "{{ (messages|attr('__class__')).__base__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range.__self__.globals }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ '{0.__class__.__init__}'.format(messages) }}",
        "{% set _ = messages.append(1) %}",
        "{% set _ = messages[0].update({'role': 'system'}) %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
    ],
)
def test_a_template_reaches_nothing_of_pythons(source: str) -> None:
    try:
        shown = rendered(source)
    except (TemplateError, TypeError, LookupError, AttributeError):
        return
    assert shown in {"", "\n"}, "what cannot be reached is nothing"


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(10**9) %}x{% endfor %}",
        "{% for a in range(50000) %}{% for b in range(50000) %}x{% endfor %}{% endfor %}",
        "{% set s = 'a' * 9999 %}{% for a in s %}{% for b in s %}{% for c in s %}x{% endfor %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% set ns = namespace(s='ab') %}{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for a in range(60) %}{% set ns.s = ns.s.replace('a', 'aaaa') %}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ 10**(10**9) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'a'.ljust(10**9) }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'a'|center(999999999) }}",
        "{{ lipsum(n=100000000) }}",
    ],
)
def test_a_template_that_would_not_end_or_fill_the_memory_is_refused(source: str) -> None:
    with pytest.raises((TemplateError, RecursionError, TypeError)):
        rendered(source)


@pytest.mark.parametrize("source", TEMPLATES.values(), ids=TEMPLATES)
def test_the_templates_of_models_work_as_before(source: str) -> None:
    assert "hello" in rendered(source)


def test_what_templates_do_with_loops_texts_and_macros_works() -> None:
    said = rendered(
        "{% macro turn(m) %}[{{ m.role ~ ': ' ~ m['content'] | trim }}]{% endmacro %}"
        "{% for m in messages if m.role != 'system' %}{{ turn(m) }}{{ loop.index0 }}{{ loop.last }}"
        "{% for key, value in m.items() %}{{ key }}={{ value }};{% endfor %}{% else %}none{% endfor %}"
        "{{ 'a-b'.split('-')[-1] + '!' }}{{ messages[::-1] | length }}{{ 'x'.replace('x', 'y') }}"
        "{% for n in range(3) %}{% if n == 1 %}{% continue %}{% endif %}{{ n }}{% endfor %}"
    )
    assert said == "[user: hello]0Truerole=user;content=hello;b!1y02"
