"""What a worker process does before its first task."""

import os
import platform
import resource

import numpy as np
import pytest

from htinvert.pool.workers import local_workers


def faults() -> float:
    """Page faults per array of 1 MB that is made and thrown away."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(1 << 17)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 50


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries take no hint")
def test_memory_that_was_freed_is_used_again() -> None:
    """An array of 1 MB is 256 pages; with Dask's own setting each of them is fetched anew."""
    with local_workers(1) as (_, client):
        client.submit(faults, pure=False).result()
        assert client.submit(faults, pure=False).result() < 10
        assert client.submit(os.getenv, "MALLOC_TRIM_THRESHOLD_").result() is None
