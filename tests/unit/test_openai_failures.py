"""The map of foreign errors: complete for the installed library, right for known servers' wordings, and discreet."""

import email.utils
import inspect

import httpx2
import openai
import pytest

from pipeline.adapters.openai_compatible.dialect import Parameter
from pipeline.adapters.openai_compatible.failures import Failure, Fault, fault_of, retry_after_s

NOW = 1_700_000_000.0
REQUEST = httpx2.Request("POST", "http://127.0.0.1:1/v1/chat/completions")
EXPECTED = {
    "APIConnectionError": Failure.TRANSIENT,
    "APIError": Failure.TRANSIENT,
    "APIResponseValidationError": Failure.TRANSIENT,
    "APIStatusError": Failure.DOWN,
    "APITimeoutError": Failure.TRANSIENT,
    "AuthenticationError": Failure.DOWN,
    "BadRequestError": Failure.REJECTED,
    "ConflictError": Failure.TRANSIENT,
    "ContentFilterFinishReasonError": Failure.FILTERED,
    "InternalServerError": Failure.TRANSIENT,
    "LengthFinishReasonError": Failure.REJECTED,
    "NotFoundError": Failure.DOWN,
    "OAuthError": Failure.DOWN,
    "OpenAIError": Failure.DOWN,
    "PermissionDeniedError": Failure.DOWN,
    "RateLimitError": Failure.TRANSIENT,
    "UnprocessableEntityError": Failure.REJECTED,
    "WebSocketConnectionClosedError": Failure.DOWN,
    "WebSocketQueueFullError": Failure.DOWN,
    "InvalidWebhookSignatureError": Failure.TRANSIENT,
}


def status_error(status: int, body: object = None, headers: dict[str, str] | None = None) -> openai.APIStatusError:
    """Return what the client library raises for such a response."""
    client = openai.OpenAI(api_key="k", base_url="http://127.0.0.1:1/v1")
    response = httpx2.Response(status, json=body, headers=headers, request=REQUEST)
    error = client._make_status_error_from_response(response)
    client.close()
    return error


def refused(message: str, status: int = 400, **error: str | None) -> Fault:
    return fault_of(status_error(status, {"error": {"message": message, **error}}), now_unix_s=NOW)


def test_every_error_class_of_the_installed_library_is_mapped_as_listed_here() -> None:
    classes = {
        name: value
        for name, value in list(vars(openai).items())
        if not name.startswith("_") and inspect.isclass(value) and issubclass(value, openai.OpenAIError | ValueError)
    }
    # `__new__` alone: the map looks at nothing but the class, except for statuses, which have their own test
    found = {
        name: fault_of(cls.__new__(cls), now_unix_s=NOW).failure
        for name, cls in classes.items()
        if not issubclass(cls, openai.APIStatusError)
    }
    statuses = {name for name, cls in classes.items() if issubclass(cls, openai.APIStatusError)}
    assert found == {name: failure for name, failure in EXPECTED.items() if name not in statuses}
    assert statuses <= set(EXPECTED)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (301, Failure.DOWN),
        (400, Failure.REJECTED),
        (401, Failure.DOWN),
        (402, Failure.DOWN),
        (403, Failure.DOWN),
        (404, Failure.DOWN),
        (405, Failure.DOWN),
        (408, Failure.TRANSIENT),
        (409, Failure.TRANSIENT),
        (413, Failure.TOO_LONG),
        (422, Failure.REJECTED),
        (429, Failure.TRANSIENT),
        (500, Failure.TRANSIENT),
        (503, Failure.TRANSIENT),
        (529, Failure.TRANSIENT),
    ],
)
def test_every_status_has_its_failure_and_is_named(status: int, failure: Failure) -> None:
    fault = fault_of(status_error(status), now_unix_s=NOW)
    assert fault.failure is failure
    assert f"HTTP {status}" in fault.what


def test_an_error_that_is_no_endpoints_doing_is_raised_again() -> None:
    with pytest.raises(KeyError):
        fault_of(KeyError("bug"), now_unix_s=NOW)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5061 tokens.",
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        "Requested tokens (5031) exceed context window of 4096",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Input prompt (5000 tokens) is too long and exceeds limit of 4096",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ],
)
def test_the_servers_wordings_of_a_text_that_is_too_long_are_known(message: str) -> None:
    assert refused(message).failure is Failure.TOO_LONG


@pytest.mark.parametrize(
    ("message", "param", "parameter"),
    [
        ("'response_format' of type 'json_schema' is not supported with this model.", None, Parameter.FORMAT),
        ("Invalid schema for response_format 'x': 'pattern' is not permitted", "response_format", Parameter.FORMAT),
        ("You are not allowed to request logprobs from this model", None, Parameter.LOGPROBS),
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", None, Parameter.LOGPROBS),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens", Parameter.LIMIT),
        ("Unsupported value: 'temperature' does not support 0", "temperature", Parameter.TEMPERATURE),
        ("System role not supported", None, Parameter.SYSTEM_ROLE),
    ],
)
def test_a_refused_parameter_is_recognised(message: str, param: str | None, parameter: Parameter) -> None:
    fault = refused(message, param=param)
    assert (fault.failure, fault.parameter) == (Failure.PARAMETER, parameter)


def test_a_500_that_llama_cpp_pythons_server_gives_for_an_unknown_format_is_a_refused_parameter() -> None:
    message = (
        "1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), "
        "'msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}"
    )
    assert refused(message, 500).parameter is Parameter.FORMAT
    assert refused("out of memory in response_format", 500).failure is Failure.TRANSIENT


def test_content_filters_are_told_from_other_rejections() -> None:
    assert refused("blocked", code="content_filter").failure is Failure.FILTERED
    azure = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    assert refused(azure).failure is Failure.FILTERED
    assert refused("something else").failure is Failure.REJECTED


def test_no_credit_and_no_such_model_are_for_a_person_to_mend() -> None:
    fault = refused("You exceeded your current quota", 429, code="insufficient_quota")
    assert fault.failure is Failure.DOWN
    assert "billing" in fault.what
    assert refused("The model `x` does not exist", code="model_not_found").failure is Failure.DOWN


def test_what_an_endpoint_says_is_never_passed_on() -> None:
    for status in (400, 401, 404, 422, 429, 500):
        assert "zebra" not in repr(refused("zebra in the ticket, key sk-zebra", status, code="zebra", param="zebra"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": email.utils.formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": email.utils.formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "1e300"}, 86_400.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now_unix_s=NOW) == seconds
    fault = fault_of(status_error(503, headers=headers), now_unix_s=NOW)
    assert fault.retry_after_s == seconds
