"""`python -m bench cpp`: the C++ core beside a hand-written adjoint and its peers."""
