"""Pages for people to read in a browser: one self-contained HTML file each, with plots drawn as SVG."""

from pipeline.adapters.pages.evaluation import evaluation_page
from pipeline.adapters.pages.night import night_page

__all__ = ["evaluation_page", "night_page"]
