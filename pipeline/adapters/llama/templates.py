"""Chat templates for files that have none, written for Headrace; a file's own always goes first."""

from types import MappingProxyType
from typing import Final

from pipeline.domain.errors import ConfigError, ModelError
from pipeline.domain.tiers import BUILT_IN_TEMPLATES, TEMPLATE_SUFFIX

_BREAK: Final = "{{ '\\n' }}"  # Jinja drops a template's last line break
_CHATML: Final = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant" + _BREAK
)
# Gemma and Mistral know no system turn: its text opens the first user's.
_NO_SYSTEM: Final = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
_GEMMA: Final = (
    _NO_SYSTEM + "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else 'user' }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "<start_of_turn>model" + _BREAK
)
_MISTRAL: Final = (
    _NO_SYSTEM + "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
_LLAMA_2: Final = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ bos_token }}[INST] <<SYS>>\n{{ m.content }}\n<</SYS>>\n\n"
    "{% elif m.role == 'user' %}"
    "{% if loop.index0 == 0 or messages[loop.index0 - 1].role != 'system' %}{{ bos_token }}[INST] {% endif %}"
    "{{ m.content }} [/INST]{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
# For base models. An answer begins a line, so that its first token does not depend on a blank; it ends with EOS.
_PLAIN: Final = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\n\n"
    "{% elif m.role == 'user' %}User: {{ m.content }}\n"
    "{% else %}Assistant:\n{{ m.content }}{{ eos_token }}\n\n{% endif %}{% endfor %}Assistant:" + _BREAK
)
TEMPLATES: Final = MappingProxyType(
    dict(zip(BUILT_IN_TEMPLATES, (_CHATML, _GEMMA, _LLAMA_2, _MISTRAL, _PLAIN), strict=True))
)


def template_text(named: str) -> str:
    """Return a built-in template's text; other text is a template itself."""
    return TEMPLATES.get(named, named)


def refuse_template(file: str, named: str | None, *, has_own: bool) -> None:
    """Raise where a file and a job do not make one template: none at all (ModelError), or two (ConfigError)."""
    if named is None and not has_own:
        raise ModelError(
            f"{file} has no chat template: it is a base model; name an instruction-tuned model, whose file has one, or "
            f"set chat_template in the tier: {', '.join(BUILT_IN_TEMPLATES)}, or the path of a {TEMPLATE_SUFFIX} file"
        )
    if named is not None and has_own:
        raise ConfigError(f"{file} has a chat template of its own, which it was trained with: remove chat_template")
