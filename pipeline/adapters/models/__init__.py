"""The model catalogue: which models there are, where they come from, and whether a file is the one it should be.

`ModelStore` is the door; `load_catalogue` reads the list; `read_header` tells what a GGUF says about itself.
"""

from pipeline.adapters.models.architecture import Architecture
from pipeline.adapters.models.bert import ENCODERS
from pipeline.adapters.models.catalogue import (
    FROM_THE_FILE,
    CatalogueEntry,
    HubFile,
    IndexPart,
    ModelCatalogue,
    load_catalogue,
)
from pipeline.adapters.models.gguf import GgufHeader, read_header
from pipeline.adapters.models.hub import HubSource
from pipeline.adapters.models.index import IndexSource
from pipeline.adapters.models.memory import MemoryNeed, encoder_need, memory_need
from pipeline.adapters.models.sources import ModelSource, Progress, silent
from pipeline.adapters.models.store import ModelListing, ModelState, ModelStore, ResolvedModel

__all__ = [
    "ENCODERS",
    "FROM_THE_FILE",
    "Architecture",
    "CatalogueEntry",
    "GgufHeader",
    "HubFile",
    "HubSource",
    "IndexPart",
    "IndexSource",
    "MemoryNeed",
    "ModelCatalogue",
    "ModelListing",
    "ModelSource",
    "ModelState",
    "ModelStore",
    "Progress",
    "ResolvedModel",
    "encoder_need",
    "load_catalogue",
    "memory_need",
    "read_header",
    "silent",
]
