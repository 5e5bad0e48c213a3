"""What the libraries of object stores are told before they are used: to wait as we do, and to leave trying again to us.

Their own defaults multiply with our tries (a server that is gone would be asked for hours), or wait for ever.
"""

from __future__ import annotations

import os
from typing import Any

S3, GOOGLE = frozenset({"s3", "s3a"}), frozenset({"gs", "gcs"})
PART_BYTES = 16 << 20  # of S3's ten thousand
MOST_AT_ONCE = 64  # requests to one server; botocore has 10


def options(scheme: str, stall_s: float) -> dict[str, Any]:
    """Arguments of the file system. stall_s: seconds without a byte, after which a connection counts as dead."""
    if scheme in S3:
        from fsspec.config import conf

        ours = {
            "connect_timeout": stall_s,
            "read_timeout": stall_s,
            "max_pool_connections": MOST_AT_ONCE,
            "retries": {"total_max_attempts": 1},
        }
        return {"config_kwargs": ours | conf.get("s3", {}).get("config_kwargs", {})}
    if scheme in GOOGLE:
        import aiohttp

        # Before every file it would ask over gRPC whether the bucket is a zonal one: where gRPC is not let through,
        # for two minutes.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        return {"requests_timeout": aiohttp.ClientTimeout(total=None, sock_connect=stall_s, sock_read=stall_s)}
    return {}


def in_parts(scheme: str) -> dict[str, Any]:
    """How a large file is put: what of it is in memory at a time."""
    if scheme in S3:
        return {"chunksize": PART_BYTES, "max_concurrency": 2}
    return {"chunksize": PART_BYTES} if scheme in GOOGLE else {}


def prepared(fs: Any, scheme: str) -> Any:
    """The file system, told what takes no argument."""
    if scheme in S3:
        fs.retries = 1
    return fs
