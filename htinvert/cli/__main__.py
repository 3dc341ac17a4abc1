"""``python -m htinvert.cli``, the same as ``htinvert``."""

from htinvert.cli import main

main()
