"""The first Fibonacci numbers, from F(0) to F(n)."""

import json

numbers = [0, 1]
while len(numbers) <= params["n"]:
    numbers.append(numbers[-2] + numbers[-1])

with open(outputs[".json"], "w", encoding="utf-8") as target:
    json.dump({"n": params["n"], "numbers": numbers[: params["n"] + 1]}, target)
