"""Modules under the names that they had before they moved.

Pickles name functions and classes by their modules: these are loaded for ever. `tapegrad.__path__`
has this folder, so that `tapegrad.compiled` is found in it. Nothing else imports from here.
"""
