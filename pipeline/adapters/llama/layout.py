"""From asks to families: what is read once, for which answers, and who pays for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pipeline.adapters.llama.asked import Asked
from pipeline.adapters.llama.choice import ChoiceLane
from pipeline.adapters.llama.halfway import HalfwayLane
from pipeline.adapters.llama.lanes import Family, Lane
from pipeline.adapters.llama.record import Recording, record_of
from pipeline.adapters.llama.sharing import Cluster, Size, clusters
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.answers import Defect, Label, Malformed, Usage
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import Choice
from pipeline.domain.trie import Tokens
from pipeline.ports.engine import Ask

_Answering: TypeAlias = ChoiceLane | HalfwayLane | Recording


@dataclass(slots=True, kw_only=True)
class Item:
    """One ask on its way."""

    place: int
    ask: Ask
    asked: Asked
    tokens_in: int = 0
    cached: int = 0
    """Of these, how many were not read again for this answer."""
    pays: bool = False
    """It is the one that a text was read for; the text's other questions share that reading."""
    truncated: bool = False
    answering: _Answering | None = None
    """None: too long to be asked."""

    @property
    def reads(self) -> bool:
        """Whether anything has to be read for it: a record may be decided without."""
        return not isinstance(self.answering, Recording) or bool(self.answering.lanes)

    def given(self, call_no: int) -> Given:
        """Return its answer; only once its lanes are done."""
        lane = self.answering
        if lane is None:
            return Given(
                answer=Malformed(defect=Defect.TOO_LONG, detail="the text exceeds the length that this tier may read"),
                raw_score=None,
                usage=Usage(tokens_in=0, tokens_cached=0, tokens_out=0),  # nothing was read
                call_no=call_no,
            )
        if isinstance(lane, ChoiceLane | HalfwayLane) and lane.is_unsound:
            return self._malformed("the model's numbers are none: its file is damaged", call_no)
        if isinstance(lane, ChoiceLane):
            return self._label(lane, call_no)
        if isinstance(lane, HalfwayLane):
            nothing = self._malformed("the model was read halfway up only, and chose nothing itself", call_no)
            return replace(nothing, halfway=lane.halfway)
        answer, scores = lane.answer
        sure = not isinstance(answer, Malformed)
        return Given(
            answer=answer,
            raw_score=min(scores.values()) if sure else None,
            field_scores=scores if sure else {},
            usage=Usage(tokens_in=self.tokens_in, tokens_cached=self.cached, tokens_out=lane.tokens_out),
            call_no=call_no,
            truncated=self.truncated,
        )

    def _malformed(self, detail: str, call_no: int) -> Given:
        return Given(
            answer=Malformed(defect=Defect.MALFORMED, detail=detail),
            raw_score=None,
            usage=Usage(tokens_in=self.tokens_in, tokens_cached=self.cached, tokens_out=0),
            call_no=call_no,
            truncated=self.truncated,
        )

    def _label(self, lane: ChoiceLane, call_no: int) -> Given:
        form = self.ask.question.form
        options, full = (form.options, form.full) if isinstance(form, Choice) else ((), False)
        number, score = lane.answer
        return Given(
            answer=Label(options[number]),
            raw_score=RawScore(score),
            shares=dict(zip(options, lane.shares, strict=True)) if full else None,
            hidden=lane.hidden,
            halfway=lane.halfway,
            usage=Usage(tokens_in=self.tokens_in, tokens_cached=self.cached, tokens_out=len(lane.label_tokens)),
            call_no=call_no,
            truncated=self.truncated,
        )


@dataclass(frozen=True, slots=True)
class _Text:
    """A text and those of its questions that it is not too long for."""

    tokens: Tokens
    items: Sequence[Item]

    @property
    def size(self) -> Size:
        """What it takes of the context, about."""
        behind = sum(len(item.asked.prompt.suffix) + item.asked.expected for item in self.items)
        return Size(
            cells=len(self.tokens) + behind,
            sequences=(len(self.items) > 1) + sum(1 if item.asked.plan else 0 for item in self.items) + 1,
        )


class Layout:
    """Lays out asks for one model."""

    def __init__(self, vocab: Vocab, *, window: int, max_text_tokens: int | None, max_answer_tokens: int) -> None:
        """`window` is what prefix, text, suffix and answer of one item may come to, in tokens."""
        self._vocab = vocab
        self._window = window
        self._max_text_tokens = max_text_tokens
        self._max_answer_tokens = max_answer_tokens

    def together(self, items: Sequence[Item]) -> list[Family]:
        """Return families, each text once, texts that begin alike on one beginning; the longest first.

        All items' questions begin with the same prefix.
        """
        members: dict[tuple[str, str], list[Item]] = {}
        for item in items:
            members.setdefault((item.ask.text, item.ask.on_long), []).append(item)
        texts = [text for asked in members.values() for text in self._texts(asked)]
        found = clusters([text.tokens for text in texts], [text.size for text in texts])
        families = [self._cluster(cluster, texts) for cluster in found]
        return sorted(families, key=lambda family: -family.size)  # the short fill the batches up

    def apart(self, items: Sequence[Item]) -> list[Family]:
        """Return a family for every item, which shares nothing but the prefix."""
        return [self._family(text, 0) for item in items for text in self._texts([item])]

    def _texts(self, members: Sequence[Item]) -> list[_Text]:
        """Tokenise one text, once for each length to which questions must cut it, without those it is too long for.

        A text that was cut begins the whole one, and so is not read twice.
        """
        prompt = members[0].asked.prompt
        tokens = tuple(self._vocab.plain(prompt.lead + members[0].ask.text))
        by_length: dict[int, list[Item]] = {}
        for item in members:
            room = self._room(item.asked)
            if len(tokens) <= room:
                by_length.setdefault(len(tokens), []).append(item)
            elif item.ask.on_long == "truncate" and room > 0:
                item.truncated = True
                by_length.setdefault(room, []).append(item)
        return [_Text(tokens[:length], asked) for length, asked in by_length.items()]

    def _room(self, asked: Asked) -> int:
        """Return how many tokens of text a question leaves room for."""
        room = self._window - len(asked.prompt.prefix) - len(asked.prompt.suffix) - asked.reserve
        return room if self._max_text_tokens is None else min(room, self._max_text_tokens)

    def _cluster(self, cluster: Cluster, texts: Sequence[_Text]) -> Family:
        chosen = [texts[place] for place in cluster.places]
        families = [self._family(text, cluster.shared) for text in chosen]
        if not cluster.shared:
            return families[0]
        readers = [text for text in chosen if any(item.reads for item in text.items)]
        for text in readers[1:]:  # the first paid for the beginning
            for item in text.items:
                if item.pays:
                    item.cached += cluster.shared
        return Family(body=chosen[0].tokens[: cluster.shared], members=tuple(families))

    def _family(self, text: _Text, shared: int) -> Family:
        """Give each question of a text a lane behind the tokens that it shares with other texts."""
        rest = text.tokens[shared:]
        # A text with one question needs no base: its lane reads it, with one sequence less.
        body = rest if len(text.items) > 1 else ()
        lanes = tuple(self._member(item, text, rest[len(body) :]) for item in text.items)
        _share_out(text.items, len(text.tokens))
        return Family(body=body, members=lanes)

    def _member(self, item: Item, text: _Text, unread: Tokens) -> Lane | Family:
        """Lay out a question's way to its answer."""
        asked = item.asked
        tokens = (*unread, *asked.prompt.suffix)
        if asked.trie is not None:
            form = item.ask.question.form
            if item.ask.half:
                item.answering = HalfwayLane(tokens + asked.trie.stem)
                return item.answering
            full = isinstance(form, Choice) and form.full
            item.answering = ChoiceLane(
                asked.trie,
                tokens,
                asked.end_ids,
                full=full,
                wants_hidden=item.ask.hidden,
                first_only=item.ask.hidden and not full,
            )
            return item.answering
        item.answering = record_of(
            asked.plan,
            self._read_of(item, text) if item.truncated else item.ask.text,
            vocab=self._vocab,
            end_ids=self._vocab.end_ids,
            max_answer_tokens=self._max_answer_tokens,
        )
        return Family(body=tokens, members=item.answering.lanes)

    def _read_of(self, item: Item, text: _Text) -> str:
        """Return what is left of a text that was cut; places in it are places in the whole."""
        read = self._vocab.text(text.tokens).removeprefix(item.asked.prompt.lead)
        return item.ask.text[: len(read)]


def _share_out(items: Sequence[Item], text: int) -> None:
    """Note how many tokens each answer of one text took, and how many of them were read for it.

    The first question that reads pays for the text.
    """
    paid = False
    for item in items:
        prompt = item.asked.prompt
        item.tokens_in = len(prompt.prefix) + text + len(prompt.suffix)
        if not item.reads:
            item.cached = item.tokens_in  # decided without reading
            continue
        item.pays = not paid
        item.cached = len(prompt.prefix) + (text if paid else 0)
        paid = True
