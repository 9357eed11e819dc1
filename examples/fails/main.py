"""fails - raises, to show how a failure looks from outside.

SPDX-License-Identifier: Apache-2.0
"""


def mean(values):
    return sum(values) / len(values)


def main():
    print("about to take the mean of nothing", flush=True)
    return mean([])
