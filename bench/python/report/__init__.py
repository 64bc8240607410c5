"""Tables and plots of results: each module a form of the same figures."""
