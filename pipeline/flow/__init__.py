"""Use cases: ports in, values out. Nothing here knows a concrete engine, store or queue."""
