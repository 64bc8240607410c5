"""A character-level GPT of scalar Values, built from tapegrad's layers.

Run it in the folder examples/ as `python -m microgpt`.
"""
