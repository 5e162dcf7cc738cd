"""How far a run is confined, in four levels; what each takes is in a module of its own.

1: a clean environment, limits, and an end for all its processes. 2: also Landlock and a seccomp filter. 3: also
namespaces of its own, made by bubblewrap. 4: also a user of its own, and memory and processes bounded by cgroups.
Everything here but `probes` is imported by launchers: only the standard library, and little of that.
"""
