"""What of the machine's files a run sees: its system, without what is the portal's own, and what its language needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "alternatives", "passwd", "group", "nsswitch.conf",
    "localtime", "timezone", "locale.alias", "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki/tls/certs",
    "pki/ca-trust", "crypto-policies", "fonts", "mime.types", "magic", "terminfo", "protocols", "services", "rpc",
    "R", "python3", "python3.11", "python3.12", "python3.13", "perl", "octave.conf", "matplotlibrc", "bash.bashrc",
    "inputrc", "papersize", "paperspecs", "ImageMagick-6", "ImageMagick-7", "OpenCL", "java-17-openjdk",
    "java-21-openjdk", "mke2fs.conf", "debian_version", "os-release", "lsb-release", "gai.conf", "host.conf",
)  # fmt: skip
OF_NETWORK = ("resolv.conf", "hosts")
PROCESSORS = "/sys/devices/system/cpu"
DEVICES = ("null", "zero", "full", "random", "urandom")


def system(hidden: Iterable[str]) -> list[str]:
    """The directories of the machine's programs, without what is hidden; links among them are left to `links`."""
    return [each for root in SYSTEM if not os.path.islink(root) for each in without(root, hidden)]


def links() -> Iterator[tuple[str, str]]:
    """Such as /bin, where it only leads to /usr/bin: target and place."""
    for root in SYSTEM:
        if os.path.islink(root):
            yield os.readlink(root), root


def settings() -> list[str]:
    """The files that programs read to find their libraries, names and fonts; none that holds a secret."""
    return [f"/etc/{name}" for name in SETTINGS]


def of_network() -> list[str]:
    """Those by which they find other machines."""
    return [f"/etc/{name}" for name in OF_NETWORK]


def without(root: str, hidden: Iterable[str]) -> Iterator[str]:
    """The directory itself, or, where something hidden lies in it, all else that does."""
    inside = [each for each in hidden if lies_in(each, root)]
    if not os.path.exists(root) or root in inside:
        return
    if not inside:
        yield root
        return
    for name in sorted(os.listdir(root)):
        yield from without(os.path.join(root, name), inside)


def lies_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def first_closed(path: str) -> str | None:
    """The first directory on the way to it that others may not pass, if there is one."""
    way = "/"
    for name in os.path.dirname(path).strip("/").split("/"):
        way = os.path.join(way, name)
        if not os.stat(way).st_mode & 0o001:
            return way
    return None
