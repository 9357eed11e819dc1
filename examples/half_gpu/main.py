"""half_gpu - takes its half of a GPU for a moment; run it twice, side by side.

SPDX-License-Identifier: Apache-2.0
"""
import os
import sys
import time


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3
    device = os.environ.get("GPU_DEVICE")
    print(f"half of GPU {device} ({os.environ.get('GPU_UUID')}) for {seconds:g} s", flush=True)
    time.sleep(seconds)
    return {"gpu": device, "partition": os.environ.get("CHRONOS_PARTITION_ID")}
