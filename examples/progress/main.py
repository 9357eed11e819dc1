"""progress - prints as it goes and says how far it is.

`import cumulus` needs no requirement: it is there in every job.

SPDX-License-Identifier: Apache-2.0
"""
import sys
import time

import cumulus


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    total = 0
    for step in range(1, steps + 1):
        total += step * step
        print(f"step {step} of {steps}: the sum is {total}", flush=True)
        cumulus.progress(step / steps, f"step {step} of {steps}")
        time.sleep(0.4)
    return {"steps": steps, "sum": total}
