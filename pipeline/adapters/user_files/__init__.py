"""Files that the user writes in TOML, the job file and the price book, with errors that name key, line and remedy."""

from pipeline.adapters.user_files.edit import edited_job, write_job
from pipeline.adapters.user_files.job import load_job
from pipeline.adapters.user_files.price_book import DEFAULT_PRICE_BOOK, load_price_book

__all__ = ["DEFAULT_PRICE_BOOK", "edited_job", "load_job", "load_price_book", "write_job"]
