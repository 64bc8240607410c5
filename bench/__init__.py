"""The benchmarks, run from the checkout: `python -m bench python` and `python -m bench cpp`."""
