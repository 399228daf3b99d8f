"""Speed, as ratios against peers and raw limits in one run: `python -m benchmarks`.

Nothing in here is part of the product, and no test asserts a time.
"""
