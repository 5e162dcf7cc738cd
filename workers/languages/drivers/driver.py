"""Runs an analyst's Python code as a fresh program: its values as data, its errors with its own line numbers.

The first system's code has `os` without importing it. Its I1 and O1 are files that are open already; whatever way the
code ends, what it wrote to O1 is there, and an O1 that it left empty is not.
"""

import io
import json
import linecache
import os
import sys
import traceback
import types

NAME = "task.py"


class Output(io.TextIOWrapper):
    """A file to write text or bytes to."""

    def __init__(self, path):
        super().__init__(io.BufferedWriter(io.FileIO(path, "w")), encoding="utf-8")
        self.path = os.path.abspath(path)

    def write(self, content):
        if isinstance(content, str):
            return super().write(content)
        self.flush()
        return self.buffer.write(content)

    def finish(self):
        self.close()
        if os.path.isfile(self.path) and not os.path.getsize(self.path):
            os.unlink(self.path)


def opened(path, kind):
    if kind == "output":
        return Output(path)
    return open(path, "rb") if kind == "binary file" else open(path, encoding="utf-8")


def values(root):
    """Those of this run stand in the last line of its own copy of this file; an older version wrote them alone."""
    alone = os.path.join(root, "values.json")
    with open(alone if os.path.exists(alone) else __file__, encoding="utf-8") as file:
        return json.loads(file.read().rpartition("\n# ")[2])


def source(root):
    with open(os.path.join(root, NAME), encoding="utf-8-sig") as file:
        return file.read()


def show(kind, error, trace):
    """An error as Python prints it, without this driver's own frame."""
    traceback.print_exception(kind, error, trace.tb_next if trace else None)


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    given, code = values(root), source(root)
    linecache.cache[NAME] = (len(code), None, [line + "\n" for line in code.split("\n")], NAME)
    compiled = compile(code, NAME, "exec")
    program = types.ModuleType("__main__")
    files = {name: opened(*file) for name, file in given["files"].items()}
    program.__dict__.update(given["names"], **files, os=os, __file__=os.path.join(root, NAME))
    sys.modules["__main__"] = program
    sys.argv, sys.path[0], sys.excepthook = [NAME], os.getcwd(), show
    return compiled, program.__dict__, [each for each in files.values() if isinstance(each, Output)]


def failed_to_compile(error):
    traceback.print_exception(type(error), error, None)
    sys.exit(1)


try:
    program, names, outputs = main()
except (SyntaxError, ValueError) as error:
    failed_to_compile(error)
try:
    exec(program, names)
finally:
    for output in outputs:
        output.finish()
# {"names": {}, "files": {}}
