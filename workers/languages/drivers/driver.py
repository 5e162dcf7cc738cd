"""Runs an analyst's Python code as a fresh program: its values as data, its errors with its own line numbers."""

import json
import linecache
import os
import sys
import traceback
import types

NAME = "task.py"


def values(root):
    with open(os.path.join(root, "values.json"), encoding="utf-8") as file:
        return json.load(file)


def source(root):
    with open(os.path.join(root, NAME), encoding="utf-8-sig") as file:
        return file.read()


def show(kind, error, trace):
    """An error as Python prints it, without this driver's own frame."""
    traceback.print_exception(kind, error, trace.tb_next if trace else None)


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    given, code = values(root), source(root)
    program = types.ModuleType("__main__")
    program.__dict__.update(given, __file__=os.path.join(root, NAME))
    sys.modules["__main__"] = program
    sys.argv, sys.path[0], sys.excepthook = [NAME], os.getcwd(), show
    linecache.cache[NAME] = (len(code), None, [line + "\n" for line in code.split("\n")], NAME)
    return compile(code, NAME, "exec"), program.__dict__


def failed_to_compile(error):
    traceback.print_exception(type(error), error, None)
    sys.exit(1)


try:
    program, names = main()
except (SyntaxError, ValueError) as error:
    failed_to_compile(error)
exec(program, names)
