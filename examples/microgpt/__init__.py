"""A character GPT of scalar Values, in tapegrad's layers: `python -m microgpt` in examples/."""
