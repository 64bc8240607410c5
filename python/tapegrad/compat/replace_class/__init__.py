"""Replacement of a program's own Value class by tapegrad's (`--replace-class`).

`importing` and `rewriting` find the class when the program is loaded. `recognise` decides whether
Value is equivalent, from the source of the class (`source`, `purity`), its constructor and nodes
(`constructor`, `shape`), trials of a copy of it (`class_copy`, `trial`, `agreement`, `sweeps`), and
from the program around it (`program`, `uses`, `expectations`). `adopt` replaces the class by Value,
or by a `facade` of Value if its constructor differs.
"""
