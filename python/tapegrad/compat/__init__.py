"""Running programs on tapegrad that were written for micrograd or for a Value class of their own.

`micrograd` makes `import micrograd` import tapegrad, `run` implements `python -m tapegrad run`, and
`replace_class` its option `--replace-class`.
"""
