"""What other programs' parsers raise, warn of and leave open, while a file is read."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import clear_frames, walk_tb
from typing import Any

from htinvert.core import UserError
from htinvert.declaration.wording import shortened


def close_files(error: BaseException | None) -> None:
    """Close the files that a parser left open when it raised this, or what led to it.

    One that is collected later, for what holds it refers to itself in circles, would warn of
    itself in the middle of something else.
    """
    files: tuple[Any, ...] = (io.IOBase,)
    if "tifffile" in sys.modules:
        files += (sys.modules["tifffile"].TiffFile,)
    while error is not None:
        for frame, _ in walk_tb(error.__traceback__):
            for value in list(frame.f_locals.values()):
                if isinstance(value, files):
                    value.close()
        clear_frames(error.__traceback__)
        error = error.__context__


@contextmanager
def parsing(path: Path, what: str, advice: str) -> Iterator[None]:
    """Let anything but a :class:`UserError` become one that says what to do; no warning passes.

    Parsers raise whatever they like, and warn of tags that are none of our business.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            close_files(error)
            reason = shortened(str(error), 200)
            raise UserError(
                f"{path.name} could not be read as {what} ({reason}); {advice}"
            ) from error
