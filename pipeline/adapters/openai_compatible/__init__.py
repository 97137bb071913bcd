"""Engine over any OpenAI-compatible endpoint: OpenAI, Azure, vLLM, llama.cpp's servers and the like.

`engine` asks and retries; `request` puts a Question into messages; `dialect` is what an endpoint was found to accept;
`hardening` keeps customer text from becoming control tokens; `completion` reads what came back; `logprobs` turns token
probabilities into a RawScore; `failures` maps every foreign error to what the pipeline does about it.
"""

from pipeline.adapters.openai_compatible.engine import OpenAIEngine

__all__ = ["OpenAIEngine"]
