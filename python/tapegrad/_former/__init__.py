"""Modules under their former names, for old pickles.

A pickle refers to functions and classes by module name, so these modules must stay. This folder is
in `tapegrad.__path__`, so that `tapegrad.compiled` is found here. Nothing else imports from it.
"""
