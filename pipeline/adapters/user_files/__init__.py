"""Files that users read and write in TOML: jobs, price books, proposals; errors name key, line and remedy."""

from pipeline.adapters.user_files.edit import edited_job, write_job
from pipeline.adapters.user_files.job import load_job
from pipeline.adapters.user_files.log_job import load_log_job
from pipeline.adapters.user_files.price_book import DEFAULT_PRICE_BOOK, load_price_book
from pipeline.adapters.user_files.proposal import read_proposal, write_proposal

__all__ = [
    "DEFAULT_PRICE_BOOK",
    "edited_job",
    "load_job",
    "load_log_job",
    "load_price_book",
    "read_proposal",
    "write_job",
    "write_proposal",
]
