"""Warm parents: processes with an interpreter and its modules loaded, of which each run is a fork.

A parent runs nobody's code. A child of it waits for orders, with what is to become the program, and becomes the
launcher of the run. `nursery` starts parents and lets them die with the worker's machine; `lines` is how a worker gives
an order. Whatever of this is missing or dead costs time only: the worker then starts a fresh launcher.

A language's file here has `load(modules)`, in the parent, and `Program`: what runs in a fork, or None where a program
of its own is started; with the first, `run()`: the rest of a fork's life.
"""
