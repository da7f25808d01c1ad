"""A server on the user's own machine or network, asked at the very address that was checked."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import IVGError

#: This machine, and networks that no stranger can be in: private ones, and 100.64.0.0/10 of private meshes.
OWN = [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7",
    )
]  # fmt: skip
STEERS = '#?@\\"<>'  # what would make another address of it than people read


@dataclass(frozen=True)
class Address:
    """Where a server is asked.

    Args:
        url: as the user writes it.

    Raises:
        IVGError: it is no plain http or https address.
    """

    url: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            plain = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
        except ValueError:
            plain = None
        if not plain or any(letter in STEERS or not letter.isprintable() or letter == " " for letter in self.url):
            raise IVGError(f'"{self.url}" is no address of a server: write it like http://localhost:11434/v1.')

    def post(self, path: str, body: bytes, content_type: str, timeout: float, most: int) -> tuple[int, bytes]:
        """Send something, and nowhere else than there: redirections are not followed.

        Args:
            path: behind that of the address.
            body: what is sent.
            content_type: of it.
            timeout: seconds without an answer.
            most: bytes of the answer that are read.

        Returns:
            The answer's HTTP status, and its beginning.

        Raises:
            IVGError: it is not on this machine or in its own network.
            OSError, http.client.HTTPException: nobody answers, or not as a web server does.
        """
        parts = urlsplit(self.url)
        host, secure = str(parts.hostname), parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(host, port, timeout=timeout)
        plain = _connected(self._checked(host, port), timeout)
        # The name is not looked up again: a second answer might be another one than the one that was checked.
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        try:
            connection.request("POST", parts.path.rstrip("/") + path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            start = answer.read(most)
            if len(start) < most and answer.length:  # it was announced longer
                raise http.client.IncompleteRead(start, answer.length)
            return answer.status, start
        finally:
            connection.close()

    def _checked(self, host: str, port: int) -> list[tuple]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise IVGError(f"There is no machine {host!r} ({error}): mend the address {self.url}.") from error
        for *_, place in found:
            if not is_own(str(place[0])):
                raise IVGError(
                    f"{self.url} is not on your machine or in your own network ({place[0]}): the photo is not sent "
                    "there."
                )
        return found


def is_own(address: str) -> bool:
    """Whether an IP address is that of this machine or of a private network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in OWN if network.version == found.version)


def _connected(found: list[tuple], timeout: float) -> socket.socket:
    failure: OSError = OSError("there is no address")
    for family, kind, protocol, _, place in found:
        plain = socket.socket(family, kind, protocol)
        plain.settimeout(timeout)
        try:
            plain.connect(place)
            return plain
        except OSError as error:  # localhost has two addresses, and many servers listen at one of them
            plain.close()
            failure = error
    raise failure
