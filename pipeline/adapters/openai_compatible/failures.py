"""Every error that the client library or the endpoint can produce, mapped to what is done about it.

==========  ==========================================================  ==============================================
failure     when                                                        what follows
==========  ==========================================================  ==============================================
TRANSIENT   no connection, time-out, 408, 409, 429, 5xx, garbage        tried again in process, then an outage
DOWN        401, 402, 403, 404, redirects, no credit, unknown model     an outage at once: a person must mend it
PARAMETER   400, 422 (or 500 by validation) over one parameter          asked again without it
TOO_LONG    413, or 400/422 whose words speak of the context            Malformed, or a shorter text where allowed
FILTERED    400 of a content filter                                     Malformed (refused)
REJECTED    any other 400 or 422                                        Malformed (refused) once the step is known to
                                                                        work at this endpoint; an outage before that
==========  ==========================================================  ==============================================

A fault's `what` names a status and what to mend, never the endpoint's message: that may quote the ticket or the key.
"""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import openai

from pipeline.adapters.openai_compatible.dialect import Parameter


class Failure(StrEnum):
    """What kind of failure it is; see the module's table."""

    TRANSIENT = "transient"
    DOWN = "down"
    PARAMETER = "parameter"
    TOO_LONG = "too_long"
    FILTERED = "filtered"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failed request."""

    failure: Failure
    what: str
    """For people: what happened and what to do; without the endpoint's own words."""
    parameter: Parameter | None = None
    retry_after_s: float | None = None
    timed_out: bool = False
    broke: bool = False
    """The server itself failed over the request (500), as it may over what a text holds."""


BY_CLASS: Mapping[type[Exception], tuple[Failure, str]] = {
    TimeoutError: (Failure.TRANSIENT, "did not answer in time; raise timeout_s or lower concurrency"),
    ValueError: (Failure.TRANSIENT, "answered with something that is no chat completion; check base_url"),
    RecursionError: (Failure.TRANSIENT, "answered with something that is no chat completion; check base_url"),
    openai.APITimeoutError: (Failure.TRANSIENT, "did not answer in time; raise timeout_s or lower concurrency"),
    openai.APIConnectionError: (Failure.TRANSIENT, "cannot be reached; check base_url and that the server runs"),
    openai.APIResponseValidationError: (Failure.TRANSIENT, "answered with something that is no chat completion"),
    openai.APIStatusError: (Failure.DOWN, "refuses requests; check base_url"),
    openai.APIError: (Failure.TRANSIENT, "failed in the client library"),
    openai.OpenAIError: (Failure.DOWN, "cannot be asked as configured; check api_key_env and base_url"),
    openai.BadRequestError: (Failure.REJECTED, "rejects the requests; check model and base_url"),
    openai.UnprocessableEntityError: (Failure.REJECTED, "rejects the requests; check model and base_url"),
    openai.AuthenticationError: (
        Failure.DOWN,
        "does not accept the key; check the environment variable named in api_key_env",
    ),
    openai.PermissionDeniedError: (Failure.DOWN, "does not let this key use the model; check the key's rights"),
    openai.NotFoundError: (Failure.DOWN, "does not know this address or model; check base_url and model"),
    openai.ConflictError: (Failure.TRANSIENT, "is busy"),
    openai.RateLimitError: (Failure.TRANSIENT, "limits the rate; lower concurrency"),
    openai.InternalServerError: (Failure.TRANSIENT, "fails; see the server's own log"),
    openai.LengthFinishReasonError: (Failure.REJECTED, "cut the answer off"),
    openai.ContentFilterFinishReasonError: (Failure.FILTERED, "declined by its content filter"),
}
"""The nearest class in an error's ancestry counts. A test holds this complete for the installed library."""
WORLD_ERRORS = (openai.OpenAIError, TimeoutError, ValueError, RecursionError)
"""What a request may raise that is the endpoint's doing."""

_LONGEST_WISH_S = 86_400.0
_DOWN_BY_STATUS = {402: "asks for payment; check the account's credit"}
_REDIRECTS = range(300, 400)
_TOO_LARGE = 413
_BROKE = 500
_REQUEST_TIMEOUT = 408
_WORDED = {400, 413, 422}
_CONTEXT = re.compile(
    r"context[ _-]?(length|size|window|limit)|maximum context|exceed_context|max_new_tokens"
    r"|(prompt|input|request|messages?)\b[^.]{0,40}\b(too (long|large)|exceeds?\b[^.]{0,60}\btokens)"
    r"|reduce the length|token count",
    re.IGNORECASE,
)
_FILTER_CODES = {"content_filter", "content_policy_violation", "invalid_prompt"}
_FILTER = re.compile(r"content[ _](filter|policy|management policy)|ResponsibleAIPolicyViolation", re.IGNORECASE)
_NO_CREDIT_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_NO_MODEL_CODES = {"model_not_found", "deploymentnotfound"}
_VALIDATION = re.compile(r"validation error|literal_error|Input should be|role not supported", re.IGNORECASE)
"""A 500 in these words is a request that the server did not understand (llama-cpp-python's server answers so)."""
_PARAMETERS = (
    (Parameter.LOGPROBS, re.compile(r"log_?probs", re.IGNORECASE)),
    (
        Parameter.FORMAT,
        re.compile(
            r"response_?format|json_?schema|structured[ _]outputs?|\bgrammar|guided|invalid schema", re.IGNORECASE
        ),
    ),
    (Parameter.SYSTEM_ROLE, re.compile(r"system\W{0,2} (role|messages?)|roles must alternate", re.IGNORECASE)),
    (Parameter.TEMPERATURE, re.compile(r"temperature", re.IGNORECASE)),
    (Parameter.LIMIT, re.compile(r"max_(completion_)?tokens", re.IGNORECASE)),
)


def fault_of(error: Exception, *, now_unix_s: float) -> Fault:
    """Say what an error of the client library means; raises it again when it is no error of an endpoint."""
    known = next((BY_CLASS[cls] for cls in type(error).__mro__ if cls in BY_CLASS), None)
    if known is None:
        raise error
    failure, what = known
    if not isinstance(error, openai.APIStatusError):
        timed_out = isinstance(error, TimeoutError | openai.APITimeoutError)
        return Fault(failure=failure, what=what, timed_out=timed_out)
    status = error.status_code
    what = f"{what} (HTTP {status})"
    words = _words(error)
    parameter = _parameter(error, words)
    if parameter is not None:
        return Fault(failure=Failure.PARAMETER, what=what, parameter=parameter)
    failure, special = _by_words(failure, status, words, (error.code or "").casefold())
    return Fault(
        failure=failure,
        what=f"{special} (HTTP {status})" if special else what,
        retry_after_s=retry_after_s(error.response.headers, now_unix_s=now_unix_s),
        broke=status == _BROKE and failure is Failure.TRANSIENT,
    )


def retry_after_s(headers: Mapping[str, str], *, now_unix_s: float) -> float | None:
    """Return how many seconds the endpoint asks us to wait: `retry-after-ms`, `retry-after` in seconds or as a date.

    More than a day is taken for a day: what holds the pause can't hold every number that a header can.
    """
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / per_second
        except ValueError:
            continue
        if 0.0 <= seconds < float("inf"):
            return min(seconds, _LONGEST_WISH_S)
    try:
        until_unix_s = email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
        return min(max(0.0, until_unix_s - now_unix_s), _LONGEST_WISH_S)
    except (TypeError, ValueError, OverflowError):
        return None


def _words(error: openai.APIStatusError) -> str:
    """Return code, type and message of the endpoint's error, to look for known words in; never to be shown."""
    body: Any = error.body
    parts = [error.code, error.type, error.message]
    if isinstance(body, Mapping):
        inner = body.get("innererror")
        parts += [body.get("detail"), inner.get("code") if isinstance(inner, Mapping) else None]
    return " ".join(str(part) for part in parts if part)[:2000]


def _parameter(error: openai.APIStatusError, words: str) -> Parameter | None:
    status = error.status_code
    if status not in {400, 422} and not (status >= 500 and _VALIDATION.search(words)):  # noqa: PLR2004 — server errors
        return None
    if _CONTEXT.search(words):
        return None
    named = str(error.param or "")
    for text in (named, words):
        for parameter, pattern in _PARAMETERS:
            if text and pattern.search(text):
                return parameter
    return None


def _by_words(failure: Failure, status: int, words: str, code: str) -> tuple[Failure, str | None]:
    if status in _REDIRECTS:
        return Failure.DOWN, "redirects elsewhere; give the final address as base_url"
    if status in _DOWN_BY_STATUS:
        return Failure.DOWN, _DOWN_BY_STATUS[status]
    if code in _NO_CREDIT_CODES:
        return Failure.DOWN, "reports that the account has no credit left; check its billing"
    if code in _NO_MODEL_CODES:
        return Failure.DOWN, "does not know the model; check `model`"
    if status == _TOO_LARGE or (status in _WORDED and _CONTEXT.search(words)):
        return Failure.TOO_LONG, None
    if status in _WORDED and (code in _FILTER_CODES or _FILTER.search(words)):
        return Failure.FILTERED, None
    if status == _REQUEST_TIMEOUT:
        return Failure.TRANSIENT, "did not answer in time; raise timeout_s or lower concurrency"
    return failure, None
