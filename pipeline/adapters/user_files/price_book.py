"""The price book: TOML → PriceBook. One ships with Headrace; the user's own replaces it as a whole."""

from decimal import Decimal
from pathlib import Path

from pipeline.adapters.user_files.document import read_model
from pipeline.domain.errors import ConfigError
from pipeline.domain.pricing import PriceBook

DEFAULT_PRICE_BOOK = Path(__file__).parent.parent / "prices.toml"


def load_price_book(path: Path = DEFAULT_PRICE_BOOK) -> PriceBook:
    """Read and validate a price book; raises ConfigError in the style of the job file's errors.

    Amounts are best written as strings; bare numbers are read as decimals too, digit for digit.
    """
    return read_model(path, PriceBook, title="price book", error=ConfigError, parse_float=Decimal)
