"""Sources: CSV, TSV, JSON Lines and plain lines, each also gzipped, as files, globs, pipes and standard input."""

from pipeline.adapters.sources.file_source import FileSource, open_source

__all__ = ["FileSource", "open_source"]
