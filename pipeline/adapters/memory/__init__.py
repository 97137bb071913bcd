"""In-memory twins of what runs outside: for tests of the flow, and for trying a job without any server.

They fulfil the same ports and pass the same contract suite as the real adapters; nothing here outlives the process.
"""

from pipeline.adapters.memory.clock import FakeClock
from pipeline.adapters.memory.queue import MemoryQueue
from pipeline.adapters.memory.store import MemoryStore

__all__ = ["FakeClock", "MemoryQueue", "MemoryStore"]
