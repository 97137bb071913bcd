"""Log lines: what varies in them is told from what does not, and lines of one kind are gathered under a template."""
