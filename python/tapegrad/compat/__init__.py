"""Programs that were written for micrograd, or for a class of their own, on tapegrad.

`micrograd` makes `import micrograd` find tapegrad, `run` is `python -m tapegrad run`, and
`replace_class` is what its option of that name does.
"""
