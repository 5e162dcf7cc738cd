"""The peers that the portal is compared with: each file here is one way to run the rows of `works`.

A peer is two functions: ready(place) starts what it needs, run(row, count) does a row and says how many seconds it
took. It may have `FEWER`, the smaller count of a row that would take it minutes. It runs in an interpreter of its own:
that of the environment named like the file up to its first `_`, made from the pinned `<environment>.txt` beside it;
without one, the bench's own.
"""
