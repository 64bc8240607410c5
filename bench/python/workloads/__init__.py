"""Kinds of workloads: one module a kind."""
