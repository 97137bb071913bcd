"""Pages for people to read in a browser: one self-contained HTML file each, with plots drawn as SVG."""

from pipeline.adapters.pages.evaluation import evaluation_page

__all__ = ["evaluation_page"]
