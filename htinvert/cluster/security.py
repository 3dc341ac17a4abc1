"""Who may talk to a run's scheduler: certificates made for it, and what is refused without them.

Without TLS, anybody who reaches the scheduler's port can run programs as this user.
"""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from htinvert.core import UserError


def address_of(interface: str) -> str:
    """The IPv4 address of a network interface of this machine."""
    from distributed.utils import get_ip_interface

    try:
        return str(get_ip_interface(interface))
    except ValueError as error:
        known = ", ".join(sorted(name for _, name in socket.if_nameindex()))
        raise UserError(
            f"this machine has no network interface {interface} with an IPv4 address, only {known}"
        ) from error


def require_here(host: str) -> None:
    """Raise :class:`UserError` where a host is none that this machine's scheduler can listen on."""
    advice = "give one of this machine's, or name its network by interface"
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the scheduler's host {host} is not known ({reason}); {advice}") from error
    for family, kind, _, _, address in found:
        with socket.socket(family, kind) as listener, suppress(OSError):
            listener.bind(address)
            return
    raise UserError(f"the scheduler's host {host} is another machine's address; {advice}")


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    return host.startswith("127.") or host in ("localhost", "::1")


def require_safe(host: str, *, encrypt: bool, trust_network: bool) -> None:
    """Refuse plain TCP on an address that others can reach, unless the user insists."""
    if not encrypt and not trust_network and not is_loopback(host):
        raise UserError(
            f"encrypt is false and {host} can be reached from other machines: anybody there could "
            "run programs as you; set encrypt: true, or trust_network: true if nobody else is"
        )


def certificates(folder: Path) -> tuple[Any, Any]:
    """Make certificates for one run; returns the driver's security and that of job scripts.

    The second refers to files in ``folder``, readable by their owner alone. Raises
    :class:`UserError` where they cannot be written.
    """
    from distributed.security import Security

    temporary = Security.temporary()
    config = temporary.get_tls_config_for_role("worker")
    try:
        remove(folder)
        folder.mkdir(parents=True, mode=0o700)
        folder.chmod(0o700)
        for key in ("ca_file", "cert", "key"):
            path = folder / f"{key}.pem"
            path.touch(mode=0o600)
            path.write_text(config[key], encoding="ascii")
    except OSError as error:
        raise UserError(
            f"the certificates of this run cannot be written into {folder}: {error.strerror}"
        ) from error
    return temporary, of_jobs(folder)


def of_jobs(folder: Path) -> Any:
    """What workers in jobs are told: the paths of the certificates in a folder."""
    from distributed.security import Security

    return Security(
        tls_ca_file=str(folder / "ca_file.pem"),
        tls_worker_cert=str(folder / "cert.pem"),
        tls_worker_key=str(folder / "key.pem"),
        require_encryption=True,
    )


def remove(folder: Path) -> None:
    """Remove a run's certificates, also those that a killed driver has left."""
    shutil.rmtree(folder, ignore_errors=True)
