"""The user's key for the Materials Project: where it may lie, and what it may look like."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from pydantic import SecretStr

from htinvert.core import UserError

VARIABLES = ("MP_API_KEY", "PMG_MAPI_KEY")
KEY = re.compile(r"[A-Za-z0-9]{32}")
ADVICE = "take the phase from a file or a prototype instead"


def find_key() -> tuple[SecretStr, str]:
    """The user's key and the name of the place it comes from.

    Read from the environment (``MP_API_KEY``, then ``PMG_MAPI_KEY``) or from the file
    ``htinvert/mp_api_key`` in ``$XDG_CONFIG_HOME`` or ``~/.config``, which only its owner may be
    able to read. Raises :class:`UserError` where there is none or it is no key.
    """
    for name in VARIABLES:
        if value := os.environ.get(name, "").strip():
            return checked_key(value, name)
    path = user_folder("XDG_CONFIG_HOME", ".config") / "htinvert" / "mp_api_key"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise UserError(f"{path} can be read by others (mode {mode:04o}); run chmod 600 on it")
        return checked_key(path.read_text(encoding="utf-8").strip(), str(path))
    except FileNotFoundError:
        raise UserError(
            f"there is no key for the Materials Project; set {VARIABLES[0]} or write the key to "
            f"{path} with mode 0600 (keys are free at materialsproject.org/api), or {ADVICE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); check it") from None


def checked_key(value: str, origin: str) -> tuple[SecretStr, str]:
    """Refuse what no key can be, for a header with a line break would be shown by its error."""
    if not KEY.fullmatch(value):
        raise UserError(
            f"{origin} holds no key of the Materials Project, which has 32 letters and "
            "digits in one word; copy it again from materialsproject.org/api"
        )
    return SecretStr(value), origin


def user_folder(variable: str, fallback: str) -> Path:
    """A folder of the XDG base directory specification, which asks to ignore relative ones."""
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path.home() / fallback
