"""What the tests share: references, programs, calls in other processes; no tests."""
