"""hello - the smallest job: it prints a line and returns where it ran.

SPDX-License-Identifier: Apache-2.0
"""
import os
import sys


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "world"
    print(f"Hello, {name}, from job {os.environ['JOB_ID']}")
    return {
        "greeted": name,
        "gpu": os.environ.get("GPU_DEVICE"),
        "partition": os.environ.get("CHRONOS_PARTITION_ID"),
        "python": sys.version.split()[0],
    }
