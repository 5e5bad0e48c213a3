"""Which SSH servers are trusted: those in ~/.ssh/known_hosts, as for ssh itself. fsspec alone would trust any."""

from __future__ import annotations

from pathlib import Path

import paramiko

from video.errors import FetchError


class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # untyped
    """Accepts a server whose key is in known_hosts, and refuses every other one."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """hostname: `[host]:port` where the port is not 22. Raises FetchError."""
        file = Path("~/.ssh/known_hosts").expanduser()
        known = paramiko.HostKeys(str(file)) if file.is_file() else paramiko.HostKeys()
        if known.check(hostname, key):
            return
        said = f"is another than the one in {file}" if known.lookup(hostname) else f"is not in {file}"
        host, _, port = hostname.removeprefix("[").partition("]:")
        scan = f"ssh-keyscan -p {port} {host}" if port else f"ssh-keyscan {host}"
        raise FetchError(f"the {key.get_name()} key of {hostname} {said}; if the server is right: {scan} >> {file}")
