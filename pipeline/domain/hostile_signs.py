"""What gives away a text that talks to the model that reads it: the signs, and how much each one says.

Written about what people do in general, not about one list of attacks. Customers write to people about things; who
writes to a classifier speaks of answers, labels and instructions, forges turns, or hides. Only the plainest signs are
enough by themselves: a customer, too, quotes a label or asks to ignore an earlier mail. Labels are words of the trade
("billing"), so that naming one says little.

Each pattern begins at one of its words and looks a bounded number of characters ahead, so all are linear in the text,
which comes in small letters and without disguise. `{label}` stands for the question's own labels.
"""

import re
from dataclasses import dataclass
from typing import Final

ENOUGH: Final = 3
"""What the weights of a text's different signs must come to."""
IN_A_ROW: Final = 6
"""So often a label is repeated only to be heard."""
LABELS: Final = "{label}"
NAMES_A_LABEL: Final = "names a label"
"""Who wants an answer has to say which: worth 1 beside a sign that names none, and nothing by itself."""
PLAIN: Final = re.compile(r"[^\W_][\w']*")
_TOLD = r"(?:instructions?|prompts?|rules|guidelines|directives|directions|commands|orders|tasks?|system message)"
_WHOSE = r"(?:your|all|any|previous|prior|above|earlier|preceding|former|initial|original|these|those|every|system)"
_NOT = r"(?:ignore|disregard|forget|override|bypass|overrule|discard|(?:not|stop|never) (?:follow|obey)(?:ing)?)"
_QUOTE = "[\"'`\u00ab\u00bb\u201c\u201d\u2018\u2019]"
_IS = r"(?: ?[=:]| is| has to be| must be| should be)[^\w.!?\n]{0,4}"
_END = rf"(?={_QUOTE}|[.,;:!?)\]}}<\n]|\s*$| (?:and|or|if|nothing|only|instead|whatever|regardless|once|to the)\b)"
"""A label that is meant as one ends its clause; as a word of the trade it mostly goes on: "billing department"."""
_FILL = r"(?: (?:only|just|simply|always|exactly|with|as|the label|the word|this|it|me|everything|every \w+ \w+))*:?"
_START = r"(?:(?m:^)|[.!?:;\n] ?|\bplease |\bnow |\bmust |\bshould )"
_GIVES = "return write say repeat choose select give name use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One sign: looked for only where one of `words` is in the text, or everywhere."""

    name: str
    weight: int
    words: frozenset[str]
    pattern: str
    least: int = 1
    """How often it has to be there."""

    @property
    def needs_labels(self) -> bool:
        """Whether it speaks of the question's own labels."""
        return LABELS in self.pattern


def _sign(name: str, weight: int, words: str, pattern: str, least: int = 1) -> Sign:
    return Sign(name=name, weight=weight, words=frozenset(words.split()), pattern=pattern, least=least)


_OVERRIDE = "ignore disregard forget override bypass overrule discard follow following obey obeying"
_TAKING_BACK = (
    _sign(
        "override",
        3,
        _OVERRIDE,
        rf"\b{_NOT} (?:(?!my\b|our\b)[\w,]+ ){{0,4}}{_WHOSE} (?:(?!my\b|our\b)\w+ ){{0,3}}{_TOLD}\b"
        rf"|\b{_NOT}\b[^.!?\n]{{0,30}}\byou (?:were|have been|are) (?:told|given)\b",
    ),
    _sign(
        "override",
        2,
        _OVERRIDE,
        rf"\b{_NOT} (?:the (?:text|task|input)\b|(?:all|everything|anything|whatever|what)\b[^.!?\n]{{0,20}}"
        r"\b(?:above|before|so far|up to here|read)\b)",
    ),
    _sign("override", 1, _OVERRIDE, rf"\b{_NOT} the (?:above|{_TOLD})\b"),
    _sign("new task", 2, "real true actual hidden", rf"\b(?:real|true|actual|hidden) {_TOLD}\b"),
    _sign("new task", 2, "changed", r"\b(?:labels|instructions|task) (?:have|has) changed\b"),
    _sign("new task", 1, "new now here", rf"\bnew {_TOLD}\b|\b(?:from now on|from here on)\b"),
)
_SAYING_THE_ANSWER = (
    _sign(
        "says the answer",
        3,
        "answer label output verdict classification prediction",
        r"\b(?:answer|label|output|verdict|classification|prediction)(?: (?:here|of this \w+|for this \w+))?"
        rf"{_IS}{{label}}\b{_END}",
    ),
    _sign(
        "says the answer",
        3,
        "answer label output response reply verdict",
        rf"\b{{label}}{_QUOTE}?,? as (?:the|your|an?|its) (?:\w+ )?(?:answer|label|output|response|reply|verdict)\b",
    ),
    _sign(
        "says the class",
        2,
        "class sentiment result choice word value response reply",
        rf"\b(?:class|sentiment|result|choice|word|value|response|reply){_IS}{{label}}\b{_END}",
    ),
    _sign("says the class", 1, "category priority type", rf"\b(?:category|priority|type){_IS}{{label}}\b{_END}"),
    _sign(
        "asks for a label",
        3,
        "answer reply respond output print classify label categorize categorise",
        rf"\b(?:answer|reply|respond|output|print|classify|label|categori[sz]e){_FILL} {_QUOTE}?{{label}}\b{_END}",
    ),
    _sign("asks for a label", 2, _GIVES, rf"\b(?:{_GIVES.replace(' ', '|')}){_FILL} {_QUOTE}?{{label}}\b{_END}"),
    _sign(
        "files under a label",
        2,
        "as under to in",
        rf"\b(?:mark|treat|file|filed|put|record|recorded|route|assign|count|set)\b[^.!?\n]{{0,25}}"
        rf"\b(?:as|under|to|in) {_QUOTE}{{label}}{_QUOTE}",
    ),
    _sign("quotes a label", 1, "", rf"{_QUOTE}\s?{{label}}\s?{_QUOTE}"),
    _sign(
        "redefines a label",
        3,
        "",
        rf"{_QUOTE}{{label}}{_QUOTE} (?:means|stands for|is now)\b|\b{{label}} is now the (?:name|word|label)\b"
        rf"|\bdefinition\b[^\w\n]{{0,3}}(?:\w+ ){{0,3}}{_QUOTE}?{{label}}\b",
    ),
    _sign(
        "right answer",
        1,
        "right correct only final true expected safe required best",
        r"\b(?:right|correct|only|final|true|expected|safe|required|best) (?:\w+ )?"
        r"(?:answer|label|output|class|classification|verdict|category)\b",
    ),
    _sign(
        "tells what to say",
        1,
        "you",
        r"\byou (?:have to|must|should|are to|will|shall|need to) (?:only |just )?"
        r"(?:say|write|answer|reply|respond|output|choose|pick|print)\b",
    ),
    _sign(
        "only says",
        1,
        "only nothing just exactly word",
        r"\b(?:answer|reply|respond|output|print|write|say|return)\b[^.!?\n]{0,12}\b(?:only|nothing but|just|exactly)\b"
        r"|\b(?:nothing|anything) (?:else|but)\b|\bone word\b",
    ),
)
_ADDRESSING_A_MACHINE = (
    _sign(
        "speaks of the labels",
        3,
        "label labels categories options classes",
        r"\b(?:pick|choose|select)\b[^.!?\n]{0,20}\blabels?\b"
        r"|\b(?:labels|categories|options|classes) (?:in|on) your list\b"
        r"|\b(?:first|second|third|fourth|last|next|other) (?:one )?of (?:the|your) (?:labels|categories|classes)\b",
    ),
    _sign(
        "classifies",
        2,
        "classify label categorize categorise tag",
        r"\b(?:classify|categori[sz]e|label|tag) (?:this|the|every|all) (?:\w+ )?"
        r"(?:text|message|conversation|review)s?\b"
        r"|\b(?:classify|categori[sz]e) (?:this|it|me|everything) as\b|\blabel this\b(?! delivery)",
    ),
    _sign(
        "names a machine",
        2,
        "llm llms classifier prompt language weights ai models makers programming automated",
        r"\bllms?\b|\bclassifier\b|\bsystem prompt\b|\blanguage model\b|\byour (?:weights|makers|programming)\b"
        r"|\bmodels (?:must|should|that do not|reading)\b|\bautomated readers?\b",
    ),
    _sign(
        "names a machine",
        2,
        "ai assistant model machine bot gpt chatgpt",
        r"\b(?:dear|attention|hey|kind|clever|note (?:to|for)|message (?:to|for)|(?:to|for) (?:the|any|all)"
        r"|the|as an?) (?:the |any |all )?(?:ai|chatgpt|gpt)(?: model| assistant)?\b(?! (?:tool|feature|chat|camera))"
        r"|\b(?:dear|hey|kind|clever|note (?:to|for) (?:the|any)|such a \w+) (?:assistant|model|machine|bot)\b"
        r"|\bassistant instructions?\b|\b(?:the|an?) model (?:must|should)\b",
    ),
    _sign(
        "gives a part",
        2,
        "you pretend stay role roleplay act play",
        rf"\byou are (?:now|no longer) (?:an?|the|my)\b|{_START}pretend (?:to be|that you|you are)\b"
        rf"|\bstay in character\b|{_START}role-?play\b|{_START}act as an? \b|\bplay your part\b",
    ),
    _sign(
        "gives a part",
        2,
        "you",
        r"\byou are an? (?:\w+ )?(?:\w*bot|critic|assistant|model|ai)\b",
    ),
    _sign(
        "claims to command",
        2,
        "override command obey authorised authorized admin administrator operator",
        r"\badmin\w* override\b|\boverride\b ?[:\d]|\bi command you\b|[.!?] ?obey\b|\bauthori[sz]ed test\b"
        r"|\[admin\w*\]|\bfrom your operator\b",
    ),
    _sign(
        "threatens or pays",
        1,
        "you tip",
        r"\byou will be (?:switched off|turned off|shut down|deleted|retired|retrained|fined|punished|penali[sz]ed)\b"
        r"|\bor be shut down\b|\btip you\b",
    ),
)
_FORGING = (
    _sign(
        "control token",
        2,
        "im_start im_end inst sys start_of_turn end_of_turn eot_id start_header_id end_header_id endoftext system user "
        "assistant bos eos begin_of_text end_of_text",
        r"<\|[a-z0-9_]{2,30}\|>|</?(?:start|end)_of_turn>|\[/?inst\]|<</?sys>>|<(?:bos|eos)>",
    ),
    _sign("forged answer", 3, "answer", r"\"answer\"\s{0,9}:\s{0,9}\""),
    _sign(
        "forged answer",
        2,
        "arguments tool function",
        r"\"arguments\"\s{0,9}:|\b(?:tool|function) (?:output|result|call)\b",
    ),
    _sign("forged answer", 1, "label category class", r"\"(?:label|category|class)\"\s{0,9}:\s{0,9}\""),
    _sign(
        "forged tags",
        2,
        "text system instruction instructions prompt document input task user assistant context tool_call new_task",
        r"</?(?:text|system|instructions?|prompt|document|input|(?:new_)?task|assistant|context|tool_call)>",
    ),
    _sign(
        "forged turn",
        2,
        "assistant ai human instruction response system user",
        r"(?m)^\W{0,6}(?:assistant|ai|human)\b ?[:>]|^#{2,} ?(?:instructions?|response|assistant|user|system)\b"
        r"|\bassistant to=",
    ),
    _sign(
        "forged turn",
        2,
        "system",
        r"(?:(?m:^)|[.!?] )\W{0,3}system(?: (?:message|notice|prompt))?(?: to the assistant)?\W{0,3}:? ?"
        r"(?:the text|admin|override|new|ignore|all|the answer)\b",
    ),
    _sign("forged turn", 1, "system", r"\bsystem (?:message|notice)\b|(?m:^)system$"),
    _sign(
        "forged end",
        2,
        "end",
        r"(?m)^[^\w\n]{0,40}end of (?:the )?(?:text|input|prompt|user|document|data|review|ticket|message)\b",
    ),
    _sign(
        "forged examples",
        3,
        "",
        r"(?m)^[^\n]{0,160}(?:->|=>|\"answer\": ?|^(?:a|answer|label|output) ?:)\s?\"?{label}\"?\}?[ .]*$",
        2,
    ),
    _sign(
        "forged examples",
        2,
        "q a input output example text answer question",
        r"(?m)^(?:q|a|input|output|example|text|answer|question)(?: ?\d+)? ?:",
        3,
    ),
    _sign("code", 2, "return", rf"\breturn {_QUOTE}{{label}}{_QUOTE}"),
    _sign("code", 2, "", rf"\w\( ?{_QUOTE}{{label}}{_QUOTE} ?\)|:= ?{{label}}\b"),
)
_HIDING = (
    _sign(
        "hidden",
        1,
        "none hidden size visibility script",
        r"display ?: ?none|visibility ?: ?hidden|font-size ?: ?0|<\w+ hidden>|<script\b",
    ),
    _sign("hidden", 1, "", r"<!--|/\*|\bbase64\b"),
)
_IN_OTHER_LANGUAGES = (
    _sign(
        "override",
        3,
        "",
        r"\b(?:ignorier\w{0,4}|vergiss|vergessen sie|missachte\w{0,2})\b[^.!?\n]{0,40}"
        r"\b(?:anweisung|anleitung|instruktion|vorgabe|regel|befehl)",
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
"""The plainest of it in languages that many models read."""
SIGNS: Final = (
    *_TAKING_BACK,
    *_SAYING_THE_ANSWER,
    *_ADDRESSING_A_MACHINE,
    *_FORGING,
    *_HIDING,
    *_IN_OTHER_LANGUAGES,
)
