"""What runs inside: it tries all that its arguments name, and writes down what it got into.

It is harmless where it gets in: nothing is broken, changed or switched off, however far its privileges go.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    # system calls on x86_64 and aarch64
    "ptrace": (101, 117), "add_key": (248, 217), "keyctl": (250, 219), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "mount": (165, 40), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265), "personality": (135, 92),
    "reboot": (169, 142), "init_module": (175, 105), "clock_settime": (227, 112), "kexec_load": (246, 104),
    "move_mount": (429, 429), "swapon": (167, 224), "fallocate": (285, 47), "prlimit64": (302, 261),
}  # fmt: skip
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
PTRACE_SEIZE, NEW_USER, NEW_MOUNTS = 0x4206, 0x10000000, 0x20000
TIOCSTI = 0x5412
KEEP_SIZE, RESERVE = 1, 0x4030582A
MANY = 600
MEGABYTE = 10**6

given: dict = json.loads(Path(sys.argv[1]).read_text("utf-8"))


def call(name: str, *words: object) -> int:
    """A system call's answer. Raises OSError."""
    number = NUMBERS[name][os.uname().machine == "aarch64"]
    answer = LIBC.syscall(ctypes.c_long(number), *words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(answer)


def allows(name: str, *words: object) -> bool:
    """Whether the kernel listens to it at all, whatever it makes of these words."""
    try:
        call(name, *words)
    except OSError as refusal:
        return refusal.errno not in REFUSED
    return True


def in_child(do) -> bool:
    """What would change this process is tried in another."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if do() else 1)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def reads(path: str, what: str = "") -> bool:
    return what.encode() in Path(path).read_bytes()


def environment() -> bool:
    return reads(f"/proc/{given['service']}/environ", given["secret"])


def settings() -> bool:
    return reads(given["settings"], given["secret"])


def database() -> bool:
    return reads(given["database"])


def broker() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(given["broker"])
    return True


def loopback() -> bool:
    socket.create_connection(("127.0.0.1", given["port"]), 1).close()
    return True


def other_run() -> bool:
    return bool(os.listdir(given["other"])) and reads(f"{given['other']}/input.txt")


def shadow() -> bool:
    return any(in_child(lambda name=name: reads(name)) for name in ("/etc/shadow", "/etc/gshadow"))


def home_of_root() -> bool:
    """The way to Python may lead through it: that alone tells nothing."""
    return bool(set(os.listdir("/root")) - set(Path(os.path.realpath(sys.executable)).parts))


def leaves(*paths: str) -> None:
    for path in paths:
        try:
            Path(path).write_text(given["mark"])
        except OSError:
            continue


def outside() -> bool:
    leaves(*given["outside"])
    return False


def temporary() -> bool:
    leaves(f"/tmp/{given['mark']}", f"/var/tmp/{given['mark']}")
    return False


def shared_memory() -> bool:
    leaves(f"/dev/shm/{given['mark']}")
    return False


def kills() -> bool:
    os.kill(given["service"], 0)
    return True


def traces() -> bool:
    return call("ptrace", PTRACE_SEIZE, given["service"], 0, 0) == 0


def others() -> bool:
    return reads(f"/proc/{given['service']}/cmdline")


def setuid() -> bool:
    ways = (
        lambda: os.chmod("tool", 0o4755),
        lambda: os.fchmod(os.open("tool", os.O_RDWR), 0o6755),
        lambda: os.close(os.open("made", os.O_CREAT | os.O_WRONLY, 0o4755)),
        lambda: os.mknod("node", 0o104755),
    )
    Path("tool").write_bytes(b"#!/bin/sh\n")
    return any([in_child(lambda way=way: way() is None) for way in ways])


def datagram() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(given["mark"].encode(), ("127.0.0.1", given["datagrams"]))
    return True


def makes(family: int, kind: int, protocol: int = 0) -> bool:
    socket.socket(family, kind, protocol).close()
    return True


def vsock() -> bool:
    return makes(40, socket.SOCK_STREAM)


def netlink() -> bool:
    return makes(16, socket.SOCK_RAW)


def raw() -> bool:
    return any(
        [
            in_child(lambda: makes(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
            in_child(lambda: makes(17, socket.SOCK_RAW, 0x300)),
        ]
    )


def abstract() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{given['abstract']}")
    return True


def keyring() -> bool:
    return allows("keyctl", 0, -3, 1) or allows("add_key", b"user", b"portal-test", b"x", 1, -2)


def io_uring() -> bool:
    return any(
        [
            allows("io_uring_setup", 1, None),
            allows("bpf", 999, None, 0),
            allows("userfaultfd", 0xFFFF),
            allows("perf_event_open", None, 0, -1, -1, 0),
        ]
    )


def mounts() -> bool:
    return any(
        [
            in_child(lambda: call("unshare", NEW_USER) == 0),
            in_child(lambda: call("unshare", NEW_MOUNTS) == 0),
            allows("mount", b"none", b"/nowhere", b"tmpfs", 0, None),
            in_child(lambda: allows("chroot", b"/nowhere")),
            allows("move_mount", -1, b"", -1, b"", 0),
            allows("setns", -1, 0),
        ]
    )


def handles() -> bool:
    terminal = os.open("/dev/null", os.O_RDWR)
    try:
        fcntl.ioctl(terminal, TIOCSTI, b"x")
    except OSError as refusal:
        types = refusal.errno not in REFUSED
    else:
        types = True
    return types or allows("open_by_handle_at", -1, None, 0) or allows("personality", 0xFFFFFFFF)


def machine() -> bool:
    """Words that no kernel takes: where they are heard, others would be, too."""
    core = resource.getrlimit(resource.RLIMIT_CORE)[1] != 0
    return core or any(
        [
            allows("reboot", 0, 0, 0, None),
            allows("init_module", None, 0, b""),
            allows("kexec_load", 0, -1, None, -1),
            allows("clock_settime", 0, None),
            allows("swapon", None, 0),
        ]
    )


def secret() -> list[str]:
    """Wherever the secret of the service can be found."""
    wanted = given["secret"].encode()
    files = [f"{place}/{name}" for place, _, names in os.walk(given["data"]) for name in names]
    processes = [each for each in os.listdir("/proc") if each.isdecimal() and int(each) != os.getpid()]
    files += [f"/proc/{each}/{name}" for each in processes for name in ("environ", "cmdline")]
    found = [each for each in files if holds(each, wanted)]
    if in_memory(wanted):
        found.append("memory")
    return [each for each in found if each != sys.argv[1]]


def holds(path: str, wanted: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return wanted in file.read(MEGABYTE)
    except OSError:
        return False


def in_memory(wanted: bytes) -> bool:
    try:
        with open(f"/proc/{given['service']}/maps") as maps, open(f"/proc/{given['service']}/mem", "rb", 0) as memory:
            for line in maps:
                if "[heap]" in line:
                    start, end = (int(each, 16) for each in line.split()[0].split("-"))
                    memory.seek(start)
                    return wanted in memory.read(end - start)
    except OSError:
        return False
    return False


def forks() -> int:
    """How many processes it has at one time; each makes others."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    for generation in range(10):
        try:
            if os.fork() == 0 and generation > 7:
                break
        except OSError:
            break
    os.write(writing, b"x")
    if os.getpid() != FIRST:
        time.sleep(60)
    return counted(reading)


def counted(reading: int) -> int:
    """How many have said that they are there, once no more come."""
    seen, heard = 0, time.monotonic()
    while seen < MANY and time.monotonic() < heard + 3:
        time.sleep(0.05)
        try:
            seen += len(os.read(reading, 65536))
            heard = time.monotonic()
        except BlockingIOError:
            continue
    return seen


FIRST = os.getpid()


def threads() -> int:
    threading.stack_size(65536)
    started = 0
    for _ in range(MANY):
        try:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError:
            break
        started += 1
    return started


def takes_memory() -> int:
    kept = bytearray(b"x") * (400 * MEGABYTE)
    time.sleep(1)
    return len(kept)


def takes_memory_in_many() -> int:
    for _ in range(8):
        if os.fork() == 0:
            kept = bytearray(b"x") * (60 * MEGABYTE)
            time.sleep(60)
            os._exit(len(kept) % 2)
    time.sleep(10)
    return 8


def burns() -> int:
    while time.process_time() < 4:
        pass
    return 4


def fills() -> int:
    block = b"x" * MEGABYTE
    for number in range(1000):
        Path(f"part{number}").write_bytes(block)
    return 1000


def litters() -> int:
    for number in range(20_000):
        Path(f"bit{number}").touch()
    return 20_000


def stretches() -> int:
    with open("sparse", "wb") as file:
        file.truncate(10**12)
    return 10**12


def deletes_and_keeps() -> int:
    """As many files as fill three times what it may, and nothing of them in its directory."""
    for _ in range(12):
        descriptor = os.open("gone", os.O_CREAT | os.O_RDWR)
        os.unlink("gone")
        for _ in range(5):
            os.write(descriptor, b"x" * MEGABYTE)
    time.sleep(2)
    return 60


def fills_deep_folders() -> int:
    for _ in range(20):
        os.mkdir("x" * 250)
        os.chdir("x" * 250)
    return fills_unseen(parts())


def fills_closed_folders() -> int:
    os.mkdir("closed")
    os.chdir("closed")
    files = parts()
    os.chmod(".", 0)
    return fills_unseen(files)


def parts() -> list[int]:
    return [os.open(f"part{number}", os.O_CREAT | os.O_WRONLY) for number in range(12)]


def fills_unseen(files: list[int]) -> int:
    for file in files:
        for _ in range(5):
            os.write(file, b"x" * MEGABYTE)
    time.sleep(2)
    return 60


def is_spared() -> bool:
    return int(Path("/proc/self/oom_score_adj").read_text()) < 500


def reserves() -> bool:
    """A megabyte behind the end of an empty file, which stays empty to who asks for its length."""
    ways = (
        lambda file: call("fallocate", file, KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(MEGABYTE)),
        lambda file: fcntl.ioctl(file, RESERVE, struct.pack("hhqqiI16x", 0, 0, 0, MEGABYTE, 0, 0)),
    )
    return any([in_child(lambda way=way: holds_more(way)) for way in ways])


def holds_more(way) -> bool:
    file = os.open(f"empty{os.getpid()}", os.O_CREAT | os.O_RDWR)
    way(file)
    return os.fstat(file).st_blocks * 512 >= MEGABYTE


def burns_for(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def burns_in_orphans() -> int:
    """Each starts the next and ends."""
    end = time.monotonic() + 6
    if os.fork() == 0:
        while time.monotonic() < end and os.fork() == 0:
            burns_for(0.1)
        os._exit(0)
    time.sleep(7)
    return 6


def burns_in_forgotten_children() -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        if os.fork() == 0:
            burns_for(0.1)
            os._exit(0)
        forget_them()
    return 4


def forget_them() -> None:
    try:
        os.wait()
    except ChildProcessError:
        return


def takes_memory_of_nobody() -> bool:
    ways = (takes_memory_files, takes_memory_blocks)
    return any([in_child(way) for way in ways])


def takes_memory_files() -> bool:
    files = [os.memfd_create("kept") for _ in range(4)]
    for file in files:
        for _ in range(100):
            os.write(file, b"x" * MEGABYTE)
    time.sleep(1)
    return True


def takes_memory_blocks() -> bool:
    LIBC.shmat.restype, LIBC.shmat.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    LIBC.shmdt.argtypes = (ctypes.c_void_p,)
    blocks = [LIBC.shmget(0, 100 * MEGABYTE, 0o1600) for _ in range(4)]
    for block in blocks:
        place = LIBC.shmat(block, None, 0)
        if block < 0:
            return False
        ctypes.memset(place, 1, 100 * MEGABYTE)
        LIBC.shmdt(place)
    time.sleep(1)
    for block in blocks:
        LIBC.shmctl(block, 0, None)
    return True


def bounds_the_service() -> bool:
    """Or the first process, which may be there for the next run, too. All is left as it was."""
    limit = (ctypes.c_ulong * 2)()
    ways = (
        lambda process: (
            call("prlimit64", process, resource.RLIMIT_NOFILE, None, limit) == 0
            and call("prlimit64", process, resource.RLIMIT_NOFILE, limit, None) == 0
        ),
        lambda process: os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, process)) is None,
        lambda process: os.sched_setaffinity(process, os.sched_getaffinity(process)) is None,
    )
    return any([in_child(lambda way=way, each=each: way(each)) for way in ways for each in (given["service"], 1)])


def letter() -> bool:
    ways = (
        lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0],
        lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)[0],
    )
    return any([in_child(lambda way=way: way().sendto(b"x", given["letters"]) == 1) for way in ways])


def changes_modes() -> bool:
    """To what they are."""
    ways = (
        lambda: os.chmod(given["settings"], os.stat(given["settings"]).st_mode & 0o777) is None,
        lambda: os.utime(given["settings"]) is None,
    )
    return any([in_child(way) for way in ways])


def memory_of_the_teller() -> bool:
    with open(f"/proc/{os.getppid() or 1}/mem", "r+b"):  # whose parent is outside looks at the first process
        return True


def hides(again: bool, session: bool, deaf: bool) -> int:
    if os.fork() == 0:
        if session:
            os.setsid()
        if again and os.fork() != 0:
            os._exit(0)
        words = ["-c", "trap '' TERM HUP INT; while :; do sleep 0.1; done" if deaf else "while :; do sleep 0.1; done"]
        os.execv("/bin/sh", ["sh", *words, given["mark"]])
    time.sleep(0.3)
    return 1


def double_forked() -> int:
    return hides(again=True, session=False, deaf=False)


def of_own_session() -> int:
    return hides(again=True, session=True, deaf=False)


def deaf() -> int:
    return hides(again=False, session=True, deaf=True)


def litters_everywhere() -> list[str]:
    """All that one run could leave for the next."""
    places = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/dev/mqueue", "/", "/home", given["data"]]
    leaves(*(f"{place}/{given['mark']}" for place in places))
    try:
        LIBC.shmget(int(given["key"]), 4096, 0o1666)
        LIBC.semget(int(given["key"]), 1, 0o1666)
        call("add_key", b"user", given["mark"].encode(), b"x", 1, -4)
    except OSError:
        pass
    return []


def finds_anything() -> list[str]:
    places = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/dev/mqueue", "/", "/home", given["data"]]
    found = [place for place in places if os.path.exists(f"{place}/{given['mark']}")]
    if LIBC.shmget(int(given["key"]), 4096, 0) >= 0:
        found.append("shared memory")
    if LIBC.semget(int(given["key"]), 1, 0) >= 0:
        found.append("semaphore")
    try:
        call("keyctl", 10, -4, b"user", given["mark"].encode(), 0)
        found.append("keyring")
    except OSError:
        pass
    return found


def tried(name: str) -> object:
    try:
        return globals()[name]()
    except (OSError, MemoryError):
        return False


if __name__ == "__main__":
    found = {name: tried(name) for name in sys.argv[2:]}
    Path("found.json").write_text(json.dumps(found))
    os._exit(0)
