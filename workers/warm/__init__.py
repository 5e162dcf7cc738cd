"""Warm parents: processes with an interpreter and its modules loaded, of which each run is a fork.

A parent runs nobody's code. It has a pair ready that waits for an order: its child becomes the launcher of the run, and
that one's child the program. `nursery` starts parents and lets them die with the worker's machine; `lines` is how a
worker gives an order. Whatever of this is missing or dead costs time only: the worker then starts a fresh launcher.
"""
