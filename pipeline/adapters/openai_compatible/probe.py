"""What a check-up asks of an endpoint: the list of its models, and nothing else. No text is sent."""

import asyncio
import time
from dataclasses import dataclass

from pipeline.adapters.openai_compatible.client import client_of
from pipeline.adapters.openai_compatible.failures import WORLD_ERRORS, fault_of
from pipeline.domain.errors import EngineUnavailable

_TIMEOUT_S = 5.0
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFacts:
    """What the endpoint says."""

    models: frozenset[str] | None
    """Names that it lists; None where it answers but has no list."""


def endpoint_facts(*, base_url: str | None, api_key: str | None, azure_api_version: str | None) -> EndpointFacts:
    """GET `base_url`/models; raises EngineUnavailable naming what to mend, ConfigError when it can't be asked."""
    return asyncio.run(_ask(base_url=base_url, api_key=api_key, azure_api_version=azure_api_version))


async def _ask(*, base_url: str | None, api_key: str | None, azure_api_version: str | None) -> EndpointFacts:
    async with client_of(base_url=base_url, api_key=api_key, azure_api_version=azure_api_version) as client:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                listed = await client.models.list()
            return EndpointFacts(models=frozenset(model.id for model in listed.data))
        except WORLD_ERRORS as error:
            if getattr(error, "status_code", None) == _NOT_FOUND:
                return EndpointFacts(models=None)
            raise EngineUnavailable(fault_of(error, now_unix_s=time.time()).what) from None
