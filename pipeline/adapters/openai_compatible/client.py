"""The client library's client: key and address made explicit, no redirects, no retries of its own, no bodies logged."""

import logging
import urllib.parse

import openai

from pipeline.domain.errors import ConfigError

_NO_KEY = "no-key"
"""Sent where no key is set, so that the client library does not send a key that it finds in the environment."""


def client_of(*, base_url: str | None, api_key: str | None, azure_api_version: str | None) -> openai.AsyncOpenAI:
    """Return a client that has not connected yet; raises ConfigError when key or address cannot work."""
    if base_url is None and (api_key is None or azure_api_version is not None):
        msg = "engine openai: give base_url, or api_key_env for the client library's default endpoint"
        raise ConfigError(msg)
    if base_url is not None and not _is_address(base_url):
        msg = "engine openai: base_url must be http:// or https:// with a host, without user name or password"
        raise ConfigError(msg)
    if api_key is not None and (not api_key.isascii() or not api_key.isprintable() or " " in api_key or not api_key):
        msg = "engine openai: the variable named in api_key_env holds no key (one ASCII word)"
        raise ConfigError(msg)
    _silence()
    # A redirect could carry ticket text to a host that nobody named.
    http_client = openai.DefaultAsyncHttpxClient(follow_redirects=False)
    try:
        if azure_api_version is not None:
            return openai.AsyncAzureOpenAI(
                azure_endpoint=base_url or "",
                api_version=azure_api_version,
                api_key=api_key or _NO_KEY,
                max_retries=0,
                http_client=http_client,
            )
        return openai.AsyncOpenAI(base_url=base_url, api_key=api_key or _NO_KEY, max_retries=0, http_client=http_client)
    except (openai.OpenAIError, ValueError, TypeError) as error:
        msg = f"engine openai: the client cannot be made ({type(error).__name__}); check base_url"
        raise ConfigError(msg) from None


def _is_address(base_url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(base_url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    plain = base_url.isprintable() and " " not in base_url and "@" not in parts.netloc
    return parts.scheme in {"http", "https"} and bool(host) and plain and port != 0


def _silence() -> None:
    """Keep request bodies, that is ticket text, out of logs: at DEBUG releases before 3 write them, 3.54 does not."""
    logging.getLogger("openai").setLevel(logging.WARNING)
