"""tapegrad's Value in the place of a class that a program defines for itself.

`importing` and `rewriting` find the class when the program is loaded; `recognise` decides by its
source (`source`, `constructor`) and by trying a copy of it (`class_copy`, `trial`) whether Value
does what it does; `adopt` puts Value in its place, or a `facade` where constructors differ.
"""
