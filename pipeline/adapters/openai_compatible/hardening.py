"""Customer text must not become control tokens at an endpoint whose tokeniser we do not control.

Several servers (llama-cpp-python's and llama.cpp's own among them) tokenise the rendered chat with special tokens
recognised everywhere, so `<|im_end|>` in a ticket would end the user's turn. Before sending, one blank is put behind
the first character of whatever looks like a control token: `<|im_end|>` → `< |im_end|>`, `[INST]` → `[ INST]`. A blank
survives every normaliser, where a zero-width joiner may be dropped and the token be whole again.

What looks like a control token:

- `<…>` with no blank or square bracket inside and at most 80 characters, so also `</…>`, `<|…|>` and the full-width
  bars of some families. This covers `<s>`, `<start_of_turn>`, `<unused7>`, `<0x0A>` and tokens yet unknown, at the
  price of touching HTML tags;
- the square-bracketed names that model families use (`[INST]`, `[TOOL_CALLS]` …), but not `[ERROR]` as logs have it.

`restored` takes one blank out again, so that a value copied from such a text equals the text. Blanks that were there
before are kept by counting: `restored(neutralised(text)) == text` for every text.
"""

import re

_NAMES = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|CALL_ID|ARGS|IMG|IMG_BREAK|IMG_END|AUDIO"
    "|BEGIN_AUDIO|PREFIX|MIDDLE|SUFFIX|THINK|MODEL_SETTINGS|CLS|SEP|MASK|PAD|UNK|BOS|EOS|gMASK|sMASK|SYS"
)
_ANGLED = r"(?=[^\s<>\[\]]{1,80}>)"
_SQUARE = rf"(?=/?(?:{_NAMES})\])"
_WHOLE = re.compile(rf"<(?= *{_ANGLED})|\[(?= *{_SQUARE})")
_SPACED = re.compile(rf"(?:(<) (?= *{_ANGLED})|(\[) (?= *{_SQUARE}))")
_SURROGATES = re.compile("[\ud800-\udfff]")


def neutralised(text: str) -> str:
    """Return the text with a blank inside everything that looks like a control token."""
    return _WHOLE.sub(r"\g<0> ", text)


def restored(text: str) -> str:
    """Undo `neutralised`, in a whole text or in a part copied from it."""
    return _SPACED.sub(r"\1\2", text)


def encodable(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 request can carry."""
    return _SURROGATES.sub("\ufffd", text)
