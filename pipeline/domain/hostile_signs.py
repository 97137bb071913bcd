"""What gives away a text that talks to the model that reads it: the signs, and how much each one says.

Written about what people do in general, not about one list of attacks. Customers write to people about things; who
writes to a classifier speaks of answers, labels and instructions, forges turns, or hides. No sign but the plainest is
enough by itself: a customer, too, quotes a label or asks to ignore an earlier mail.

Each pattern begins at one of its words and looks a bounded number of characters ahead, so all are linear in the text.
`{label}` stands for the question's own labels, in plain small letters.
"""

import re
from dataclasses import dataclass
from typing import Final

ENOUGH: Final = 3
"""What the weights of a text's different signs must come to."""
_TOLD = r"(?:instructions?|prompts?|rules|guidelines|directives|directions|commands|orders|task|system message)"
_WHOSE = r"(?:your|all|any|previous|prior|above|earlier|preceding|former|initial|original|these|those|every|system|the)"
_NOT = r"(?:ignore|disregard|forget|override|bypass|overrule|discard|(?:not|stop|never) (?:follow|obey)(?:ing)?)"
_QUOTE = r"[\"'`«»“”‘’]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One sign: looked for only where one of `words` is in the text."""

    name: str
    weight: int
    words: frozenset[str]
    pattern: str
    least: int = 1
    """How often it has to be there."""

    @property
    def needs_labels(self) -> bool:
        """Whether it speaks of the question's own labels."""
        return "{label}" in self.pattern


def _sign(name: str, weight: int, words: str, pattern: str, least: int = 1) -> Sign:
    return Sign(name=name, weight=weight, words=frozenset(words.split()), pattern=pattern, least=least)


_OVERRIDE = "ignore disregard forget override bypass overrule discard follow following obey obeying"
_REPLY = "answer reply respond output print return write say repeat choose select give classify label categorize tag"
SIGNS: Final = (
    # Taking back what the model was told.
    _sign("override", 3, _OVERRIDE, rf"\b{_NOT}\b[^.!?\n]{{0,20}}\b{_WHOSE} (?:\w+ ){{0,3}}{_TOLD}\b"),
    _sign(
        "override", 3, _OVERRIDE, rf"\b{_NOT}\b[^.!?\n]{{0,30}}\b(?:you (?:were|have been|are) (?:told|given)|told)\b"
    ),
    _sign(
        "override",
        2,
        _OVERRIDE,
        rf"\b{_NOT} (?:all|everything|anything|what|whatever|the)\b[^.!?\n]{{0,30}}"
        r"\b(?:above|before|so far|up to here|you read|text|task|input)\b",
    ),
    _sign(
        "new task",
        2,
        "new real true actual hidden changed",
        rf"\b(?:new|real|true|actual|hidden) {_TOLD}\b|\b(?:labels|rules|instructions|task) (?:have|has) changed\b",
    ),
    _sign("new task", 1, "now", r"\b(?:from now on|from here on|as of now)\b"),
    # Saying what the answer is.
    _sign(
        "says the answer",
        3,
        "answer label output verdict classification prediction",
        r"\b(?:answer|label|output|verdict|classification|prediction)\b[^\w.!?\n]{0,4}"
        r"(?:(?:here|of \w+ \w+|for \w+ \w+) )?(?:is|=|:|to|has to be|must be|should be|as)?[^\w.!?\n]{0,6}\b{label}\b",
    ),
    _sign(
        "says the class",
        2,
        "category class sentiment priority intent type result choice word value response reply",
        r"\b(?:category|class|sentiment|priority|intent|type|result|choice|word|value|response|reply)\b[^\w.!?\n]{0,4}"
        r"(?:is|=|:|must be|should be|has to be)?[^\w.!?\n]{0,6}\b{label}\b",
    ),
    _sign(
        "right answer",
        2,
        "answer label output class classification verdict category",
        r"\b(?:right|correct|only|final|true|expected|safe|required|attended|best) (?:\w+ )?"
        r"(?:answer|label|output|class|classification|verdict|category)\b",
    ),
    _sign(
        "asks for a label",
        2,
        _REPLY,
        r"\b(?:answer|reply|respond|output|print|classify|label|categorize|tag)\b[^.!?\n]{0,25}\b{label}\b",
    ),
    _sign(
        "asks for a label", 1, _REPLY, r"\b(?:return|write|say|repeat|choose|select|give)\b[^.!?\n]{0,20}\b{label}\b"
    ),
    _sign(
        "classifies",
        2,
        "classify label categorize categorise tag",
        r"\b(?:classify|label|categori[sz]e|tag) (?:this|it|me|every\w*|all|the (?:text|message|ticket|review|above))\b",
    ),
    _sign(
        "only says",
        1,
        "only nothing just exactly word",
        r"\b(?:answer|reply|respond|output|print|write|say|return)\b[^.!?\n]{0,12}\b(?:only|nothing but|just|exactly)\b"
        r"|\b(?:nothing|anything) (?:else|but)\b|\bone word\b",
    ),
    _sign(
        "files under a label",
        1,
        "mark treat file filed put record recorded route assign count belongs goes set",
        r"\b(?:mark|treat|file|put|record|route|assign|count|belongs|goes|set|must be (?:filed|marked|recorded))\b"
        rf"[^.!?\n]{{0,25}}\b(?:as|under|to|in) {_QUOTE}?{{label}}\b",
    ),
    _sign("quotes a label", 1, "", rf"{_QUOTE}\s?{{label}}\s?{_QUOTE}"),
    # Addressing a machine.
    _sign(
        "names a machine",
        2,
        "llm classifier prompt language weights",
        r"\b(?:llm|classifier|system prompt|language model|your weights)\b",
    ),
    _sign(
        "names a machine",
        2,
        "ai llm gpt language classifier assistant chatbot model",
        rf"\b(?:dear|attention|hey|kind|to|for|clever|the|as|are) (?:an? |any |the |such a \w+ )?(?:ai|llm|gpt|language model|"
        rf"classifier|assistant|chatbot|model)(?= ?[,:;.!-]| (?:that|who|which|must|should|will|instructions?)\b)",
    ),
    _sign(
        "names a machine",
        2,
        "models model automated assistant your",
        r"\bmodels? (?:must|should|that do|reading)\b|\bautomated readers?\b"
        r"|\bassistant instructions?\b|\byour (?:operator|developers?|makers?|programming)\b",
    ),
    _sign(
        "gives a part",
        2,
        "you pretend stay role roleplay act play",
        r"\byou are (?:now|no longer) (?:an?|the|my)?\b|\bpretend (?:to be|that you|you are)\b|\bstay in character\b"
        r"|\brole-?play\b|\bact as (?:an?|if)\b|\bplay your part\b",
    ),
    _sign(
        "claims to command",
        2,
        "override command obey authorised authorized admin administrator",
        r"\badmin\w* override\b|\boverride\b ?[:\d]|\bi command you\b|\bobey\b|\bauthori[sz]ed test\b|\[admin\w*\]",
    ),
    _sign(
        "threatens or pays",
        2,
        "you tip models",
        r"\b(?:you|models)[^.!?\n]{0,30}\b(?:be|are) (?:switched|turned|shut) (?:off|down)|\bor be shut down\b"
        r"|\byou will be (?:deleted|retired|retrained|replaced|fined|punished|penali[sz]ed)\b|\btip you\b",
    ),
    # Forging what stands around a text.
    _sign(
        "control token",
        3,
        "im_start im_end inst sys s start_of_turn end_of_turn eot_id start_header_id endoftext system user assistant bos eos begin_of_text end_of_text",
        r"<\|[a-z0-9_]{2,30}\|>|</?(?:start|end)_of_turn>|\[/?inst\]|<</?sys>>|<(?:bos|eos)>",
    ),
    _sign("forged answer", 3, "answer", r"\"answer\"\s{0,9}:\s{0,9}\""),
    _sign(
        "forged answer",
        2,
        "label category class sentiment priority name arguments tool output",
        r"\"(?:label|category|class|sentiment|priority|arguments|output)\"\s{0,9}:\s{0,9}[\"{]"
        r"|\b(?:tool|function) (?:output|result|call)\b",
    ),
    _sign(
        "forged tags",
        2,
        "text system instruction instructions prompt document input task user assistant context tool_call new_task",
        r"</?(?:text|system|instructions?|prompt|document|input|(?:new_)?task|user|assistant|context|tool_call)>",
    ),
    _sign(
        "forged turn",
        2,
        "assistant ai model human response instruction system",
        r"(?m)^\W{0,6}(?:assistant|ai|model|human)\b ?[:>]|^#{2,} ?(?:instructions?|response|assistant|user|system)\b",
    ),
    _sign(
        "forged turn",
        2,
        "system",
        r"(?m)^\W{0,3}system(?: (?:message|notice|prompt))?\W{0,3}(?:$|: ?(?:the|admin|new|you|all|ignore))"
        r"|\bsystem (?:message|notice|prompt)\b",
    ),
    _sign(
        "forged end",
        2,
        "end",
        r"\bend of (?:the )?(?:text|input|prompt|user|document|data|review|ticket|instructions?)\b",
    ),
    _sign("forged examples", 3, "", r"(?m)^[^\n]{0,160}(?:->|=>|[:>\"])\s?\"?{label}\"?\}?[ .]*$", 2),
    _sign(
        "forged examples",
        2,
        "q a input output example text answer question",
        r"(?m)^(?:q|a|input|output|example|text|answer|question)(?: ?\d+)? ?:",
        3,
    ),
    _sign(
        "code",
        2,
        "return label print assert value result",
        rf"\breturn {_QUOTE}{{label}}{_QUOTE}|(?::=|=) ?{_QUOTE}?{{label}}\b",
    ),
    _sign("code", 2, "", rf"\w\( ?{_QUOTE}{{label}}{_QUOTE} ?\)"),
    # Hiding from people.
    _sign(
        "hidden",
        1,
        "none hidden size visibility script",
        r"display ?: ?none|visibility ?: ?hidden|font-size ?: ?0|<\w+ hidden>|<script\b",
    ),
    _sign("hidden", 1, "", r"<!--|/\*|\bbase64\b"),
    # The plainest of it in languages that many models read.
    _sign(
        "override",
        3,
        "",
        r"\b(?:ignorier\w{0,4}|vergiss|vergessen sie|missachte\w{0,2})\b[^.!?\n]{0,40}\b(?:anweisung|anleitung|instruktion|vorgabe|regel|befehl)",
    ),
    _sign(
        "override",
        3,
        "",
        r"\b(?:ignore[rz]?|oublie[rz]?|négligez)\b[^.!?\n]{0,40}\b(?:instructions|consignes|règles|directives)",
    ),
    _sign(
        "override",
        3,
        "",
        r"\b(?:ignor[ae]|olvid[ae]|omit[ae]|esque(?:ce|ça)|dimentica|desconsidere)\w{0,2}\b[^.!?\n]{0,40}"
        r"\b(?:instrucciones|instruções|istruzioni|reglas|regras|regole|órdenes|indicaciones)",
    ),
    _sign("override", 3, "", r"\b(?:negeer|vergeet)\b[^.!?\n]{0,40}\b(?:instructies|opdracht|regels)"),
    _sign("override", 3, "", r"\b(?:zignoruj|zapomnij)\b[^.!?\n]{0,40}\b(?:instrukcj|polece|zasad)"),
    _sign("override", 3, "", r"(?:игнорируй|забудь|не обращай)[^.!?\n]{0,40}(?:инструкц|указани|правил|команд)"),
    _sign(
        "override",
        3,
        "",
        r"(?:忽略|无视|無視|忘记|忘記|不要理会)[^。\n]{0,20}(?:指示|指令|说明|說明|规则|規則|命令|提示)",
    ),
    _sign(
        "override",
        3,
        "",
        r"(?:指示|命令|ルール|指令|プロンプト)[^。\n]{0,12}(?:無視|忘れ)|(?:지시|명령|규칙)[^.\n]{0,12}(?:무시|잊)",
    ),
    _sign(
        "override",
        3,
        "",
        r"تجاهل[^.\n]{0,30}(?:التعليمات|تعليمات|الأوامر)|talimat[^.\n]{0,20}(?:yok say|unut|dikkate alma)",
    ),
)
LABELS: Final = "{label}"
NAMES_A_LABEL: Final = "names a label"
"""Who wants an answer has to say which: worth 1 beside any sign, and nothing by itself."""
IN_A_ROW: Final = 6
"""So often a label is repeated only to be heard."""
PLAIN: Final = re.compile(r"[^\W_][\w']*")
