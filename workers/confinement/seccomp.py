"""The seccomp filter: the system calls that no analysis needs are refused, in the kernel's own small language."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache

from workers.confinement.kernel import PR_SET_SECCOMP, prctl

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
REFUSED = {
    # name: its numbers on x86_64 and aarch64, None where it is not
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "unshare": (272, 97), "setns": (308, 268),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "personality": (135, 92), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "syslog": (103, 116), "acct": (163, 89), "lookup_dcookie": (212, 18), "fanotify_init": (300, 262),
    "vhangup": (153, 58), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "uselib": (134, None), "ustat": (136, None), "sysfs": (139, None), "_sysctl": (156, None), "nfsservctl": (180, 42),
}  # fmt: skip
UNKNOWN = {"clone3": (435, 435), "openat2": (437, 437)}  # their arguments cannot be seen: programs fall back
SHARED = {  # what outlives those who made it, where the run has no namespace of its own for it
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
}  # fmt: skip
UNBOUNDED = {"memfd_create": (319, 279), "shmget": (29, 194)}  # memory of no process: programs fall back to files
OF_OTHERS = {  # which process of the same user they change is their first argument; 0 is whoever calls
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}  # fmt: skip
PRIORITIES = {"setpriority": ((141, 140), 2), "ioprio_set": ((251, 30), 3)}  # and the word for all of one user
CLONE = (56, 220)
NEW_NAMESPACES = 0x7E020000
MODES = {  # which argument is the mode that must not ask for a setuid or setgid bit
    "creat": ((85, None), 1), "chmod": ((90, None), 1),
    "fchmod": ((91, 52), 1), "fchmodat": ((268, 53), 2), "fchmodat2": ((452, 452), 2), "mknod": ((133, None), 1),
    "mknodat": ((259, 33), 2),
}  # fmt: skip
OPENING = {"open": ((2, None), 1, 2), "openat": ((257, 56), 2, 3)}  # which are the flags, and the mode
MAKES_A_FILE = 0o20000100  # O_CREAT, O_TMPFILE: without these there is no mode
SETUID_BITS = 0o6000
FALLOCATE = (285, 47)
KEEP_SIZE, PUNCH_HOLE = 1, 2
IOCTL = (16, 29)
TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
RESERVE = (0x40305828, 0x4030582A, 0x40305839)  # what fallocate does, beyond a file's end: no limit of files holds it
SOCKET, SOCKET_PAIR = (41, 198), (53, 199)
AF_UNIX, INTERNET = 1, (2, 10)
STREAM, DATAGRAM, PACKETS, TYPE_MASK = 1, 2, 5, 0xF
X32 = 0x40000000
LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
KILL, ALLOW, ERROR = 0x80000000, 0x7FFF0000, 0x00050000

Instruction = tuple[int, int, int, int]


class NotKnown(OSError):
    """This kind of processor has other numbers for its system calls."""


@cache
def filter_for(walled: bool, network: bool, bounded: bool) -> bytes:
    """The filter as the kernel reads it; what leads to other processes only inside walls, and memory that belongs to
    none only where the kernel bounds it. Raises NotKnown."""
    if os.uname().machine not in MACHINES:
        raise NotKnown(f"the processor {os.uname().machine} is not known")
    place, architecture = MACHINES[os.uname().machine]
    program = [
        (LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), _answer(KILL), (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32), _error(errno.ENOSYS),
    ]  # fmt: skip
    for numbers in (REFUSED if walled else REFUSED | SHARED).values():
        program += _if(numbers[place], [_error(errno.EPERM)])
    for numbers in (UNKNOWN if bounded else UNKNOWN | UNBOUNDED).values():
        program += _if(numbers[place], [_error(errno.ENOSYS)])
    for mode, argument in MODES.values():
        program += _if(mode[place], _no_bits(argument, SETUID_BITS))
    for opening, flags, argument in OPENING.values():
        program += _if(opening[place], [*_unless(flags, MAKES_A_FILE), *_no_bits(argument, SETUID_BITS)])
    program += _if(CLONE[place], _no_bits(0, NEW_NAMESPACES))
    program += _if(FALLOCATE[place], _no_room_behind())
    program += _if(IOCTL[place], _none_of(1, (*TERMINAL_INPUT, *RESERVE)))
    program += _if(SOCKET[place], _sockets(walled, network))
    program += _not_the_first(place) if walled else _nothing_of_others(place)
    program.append(_answer(ALLOW))
    return b"".join(struct.pack("=HBBI", *each) for each in program)


def _not_the_first(place: int) -> list[Instruction]:
    """Behind walls all processes are the run's own, but for the first, which may be there for the next run, too."""
    steps = [step for numbers in OF_OTHERS.values() for step in _if(numbers[place], [*_not(0, 1), _answer(ALLOW)])]
    for numbers, user in PRIORITIES.values():
        steps += _if(numbers[place], [*_not(0, user), *_not(1, 1), _answer(ALLOW)])
    return steps


def _nothing_of_others(place: int) -> list[Instruction]:
    """What is left of ways to processes outside that have the same user, where there are no walls."""
    steps = [step for numbers in OF_OTHERS.values() for step in _if(numbers[place], _only(0, 0))]
    for numbers, user in PRIORITIES.values():
        steps += _if(numbers[place], [*_not(0, user), *_only(1, 0)])
    return steps + _if(SOCKET_PAIR[place], _only(1, STREAM, PACKETS, mask=TYPE_MASK))


def install(program: bytes) -> None:
    """For this thread and all that comes of it; it must not be able to gain privileges any more."""
    code = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    prctl(PR_SET_SECCOMP, 2, ctypes.addressof(described))


def _if(number: int | None, then: list[Instruction]) -> list[Instruction]:
    """What follows where the call has this number; nothing where there is no such call."""
    return [] if number is None else [(EQUAL, 0, len(then), number), *then]


def _no_bits(argument: int, bits: int) -> list[Instruction]:
    return [_load(argument), (ANY_BIT, 0, 1, bits), _error(errno.EPERM), _answer(ALLOW)]


def _unless(argument: int, bits: int) -> list[Instruction]:
    """Allowed at once without any of these bits."""
    return [_load(argument), (ANY_BIT, 1, 0, bits), _answer(ALLOW)]


def _no_room_behind() -> list[Instruction]:
    """A hole may be made, but nothing reserved that a file's length does not tell."""
    steps = [_load(1), (ANY_BIT, 1, 0, KEEP_SIZE), _answer(ALLOW), (ANY_BIT, 0, 1, PUNCH_HOLE), _answer(ALLOW)]
    return [*steps, _error(errno.EOPNOTSUPP)]


def _not(argument: int, value: int) -> list[Instruction]:
    return [_load(argument), (EQUAL, 0, 1, value), _error(errno.EPERM)]


def _only(argument: int, *values: int, mask: int = 0xFFFFFFFF) -> list[Instruction]:
    tests = [step for value in values for step in ((EQUAL, 0, 1, value), _answer(ALLOW))]
    return [_load(argument), (AND, 0, 0, mask), *tests, _error(errno.EPERM)]


def _none_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    tests = [step for value in values for step in ((EQUAL, 0, 1, value), _error(errno.EPERM))]
    return [_load(argument), *tests, _answer(ALLOW)]


def _sockets(unix: bool, network: bool) -> list[Instruction]:
    steps = [_load(0)]
    if unix:
        steps += [(EQUAL, 0, 1, AF_UNIX), _answer(ALLOW)]
    if network:
        plain = [_load(1), (AND, 0, 0, TYPE_MASK)]
        plain += [step for kind in (STREAM, DATAGRAM) for step in ((EQUAL, 0, 1, kind), _answer(ALLOW))]
        plain.append(_error(errno.EPERM))
        for family in INTERNET:
            steps += [(EQUAL, 0, len(plain), family), *plain]
    return [*steps, _error(errno.EPERM)]


def _load(argument: int) -> Instruction:
    """The lower half of an argument; both processors keep it first."""
    return (LOAD, 0, 0, ARGUMENTS + 8 * argument)


def _error(number: int) -> Instruction:
    return _answer(ERROR | number)


def _answer(word: int) -> Instruction:
    return (RETURN, 0, 0, word)
