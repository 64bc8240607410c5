"""Programs that people differentiate, each with its derivative written by hand.

In the manner of GradBench and ADBench: plain Python on numbers, lists and NumPy arrays, which runs
on floats as well as on traced numbers. A module has its `function`, `inputs(seed, size)` that are
the same each time, and `reference` derivatives that owe nothing to tapegrad, in the containers
that JAX would give them in.
"""
