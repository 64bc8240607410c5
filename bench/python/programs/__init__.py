"""The programs that are timed, written once for any kind of number."""
