"""Log files on disk, plain or compressed: read on from where the last reading ended, whatever they are called now."""

from pipeline.adapters.log_files.reader import LogFileReader, found_files, shown_name

__all__ = ["LogFileReader", "found_files", "shown_name"]
