"""tapegrad's Value in the place of a class that a program defines for itself.

`importing` and `rewriting` find the class when the program is loaded; `recognise` decides by its
source (`source`, `purity`, `constructor`, `shape`) and by trying a copy of it (`class_copy`,
`trial`, `agreement`, `sweeps`) whether Value does what it does, and by the program around it
(`program`, `uses`, `expectations`) whether a difference would be seen; `adopt` puts Value in its
place, or a `facade` where constructors differ.
"""
