"""R that is a fork of a warm one: what the code finds, and how it ends, is as if Rscript had started it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy.orm import Session

from portal.services import results
from portal.settings import settings
from tests.levels import ways
from tests.making import make_backend, make_job, make_task, submitted
from tests.servers import eventually
from tests.workers.alike import Twice, left
from workers.languages import r
from workers.warm import lines, sessions

WARM = pytest.mark.parametrize("level", [each for each in ways() if "warm" in each][-1:], indirect=True)
WHAT_IT_IS = "cat(basename(Sys.readlink('/proc/self/exe')))"
ALIKE = {
    "its words and environment": """
        gsub('/[^ ]*/', '', commandArgs()); commandArgs(trailingOnly = TRUE) == dirname(dirname(getwd()))
        all <- Sys.getenv(); sort(paste(names(all), all)); Sys.setenv(MINE = 'é')
        writeLines(sort(system('env', intern = TRUE)))
        """,
    "its options": "options()[setdiff(names(options()), 'browser')]; body(getOption('browser'))",
    "its packages": """
        search(); loadedNamespaces(); sessionInfo(); .libPaths(); ls(all.names = TRUE)
        lapply(search(), function(each) sort(ls(each, all.names = TRUE)))
        """,
    "its language and libraries": """
        Sys.getlocale(); l10n_info(); nchar('é😀'); toupper('é'); Sys.timezone(); R.home(); R.version
        extSoftVersion(); La_library(); La_version(); capabilities()
        """,
    "its limits and its clock": """
        Cstack_info()[c('size', 'direction')]; gc()[, 0]; mem.maxVSize(); mem.maxNSize()
        proc.time()[['elapsed']] < 30; sum(proc.time()[1:2]) < 30
        """,
    "its directories": """
        getwd(); path.expand('~'); dirname(tempdir()); dir.exists(tempdir()); list.files(tempdir(), all.files = TRUE)
        file.info(tempdir())$mode; setequal(list.files('..'), basename(c(getwd(), tempdir())))
        setwd('/'); cat(getwd())
        """,
    "what it has open, and its signals": """
        sort(list.files('/proc/self/fd')); Sys.readlink(file.path('/proc/self/fd', 0:3)); showConnections(all = TRUE)
        writeLines(system('ls /proc/self/fd', intern = TRUE))
        grep('^(Sig(Blk|Ign|Cgt)|Threads)', readLines('/proc/self/status'), value = TRUE)
        """,
    "its standard input": """
        interactive(); isatty(stdin()); readline('Well? '); readLines(file('stdin'))
        nchar(readLines(stdin(), n = 1)) > 0
        1 + 1
        """,
    "an error": "f <- function(x) {\n  stop('no: ', x)\n}\ncat('begun\\n')\nf('é')",
    "an error of a package": "lm(y ~ x, data = list())",
    "an error without a call": "\n\nstop('alone', call. = FALSE)",
    "an error of syntax": "x <- 1\ny <- )",
    "an endless recursion": "f <- function(x) f(x + 1)\nf(1)",
    "a deep recursion": "options(expressions = 500000)\nf <- function(x) f(x + 1)\ntry(f(1))\ncat('still here\\n')",
    "warnings": """
        f <- function() { warning('careful'); 3 }
        f(); as.integer('x'); message('told'); tryCatch(stop('a'), error = print, finally = cat('finally\\n'))
        options(warn = 0); as.integer('x')
        for (each in 1:60) warning(each)
        """,
    "a warning that is an error": "options(warn = 2)\nas.integer('x')",
    "where an error came from": "options(error = quote({ traceback(2); q('no', 7) }))\nf <- function() stop('x')\nf()",
    "an exit status": "cat('before\\n'); quit(status = 3); cat('after\\n')",
    "an exit in a function": "f <- function() { on.exit(cat('left\\n')); quit('no', 4) }\nf()",
    "its last words": """
        .Last <- function() cat('last\\n')
        kept <- new.env()
        invisible(reg.finalizer(kept, function(each) cat('finalized\\n'), onexit = TRUE))
        out <- file('left.out', 'w'); writeLines('of its own', out)
        """,
    "no last words": ".Last <- function() cat('last\\n'); quit('no', 5, runLast = FALSE)",
    "last words that go wrong": """
        .Last <- function() { warning('late'); stop('no end') }
        kept <- new.env()
        invisible(reg.finalizer(kept, function(each) stop('not final'), onexit = TRUE))
        """,
    "warnings at its end": """
        options(warn = 0); .Last <- function() { warning('late'); cat('last\\n') }; quit('no', 6)
        """,
    "an exit in its last words": ".Last <- function() { cat('last\\n'); quit('no', 9, runLast = FALSE) }",
    "an exit that a finalizer asks for": """
        kept <- new.env()
        invisible(reg.finalizer(kept, function(each) quit('no', 8, runLast = FALSE), onexit = TRUE))
        """,
    "a picture that is open at its end": "xfig('left.out'); plot(1:3); .Last <- function() print(dev.cur())",
    "a program that it writes to": """
        out <- pipe('cat > left.out', 'w'); writeLines('through', out); flush(out)
        while (!file.exists('left.out') || !file.size('left.out')) Sys.sleep(0.01)
        cat('end')
    """,
    "a library of its own, and what that does at its end": """
        writeLines(c('#include <stdio.h>', '#include <stdlib.h>', 'static FILE *late;',
          'static void bye(void) { fputs("bye", late); puts("bye"); }',
          'void begin(void) { late = fopen("late.out", "w"); fputs("begun ", late); atexit(bye); }',
          '__attribute__((destructor)) static void gone(void) { fputs(" gone", late); puts("gone"); }'), 'own.c')
        invisible(system('R CMD SHLIB own.c >build.log 2>&1'))
        dyn.load('own.so'); invisible(.C('begin')); cat('end\\n')
        """,
    "a directory that it removed": """
        unlink(tempdir(), recursive = TRUE); dir.exists(tempdir()); dir.exists(tempdir(TRUE))
        """,
    "a child that ends": """
        job <- parallel::mcparallel({ cat('child\\n'); 5 }); parallel::mccollect(job)[[1]]; dir.exists(tempdir())
        """,
    "a signal to itself": "cat('x\\n'); tools::pskill(Sys.getpid(), 15); Sys.sleep(20)",
    "its killing": "cat('x\\n'); tools::pskill(Sys.getpid(), 9); Sys.sleep(20)",
    "a wrong access": "cat('x\\n'); f <- function() tools::pskill(Sys.getpid(), 11); f(); Sys.sleep(20)",
    "an interruption": "tools::pskill(Sys.getpid(), 2); Sys.sleep(20)",
    "a request to save": "tools::pskill(Sys.getpid(), 10); Sys.sleep(20)",
    "output of all kinds": """
        cat('one\\n'); write('two', stdout()); system('echo three'); print('four'); writeLines('five')
        cat('six'); message('seven'); system('echo eight >&2'); cat('nine', file = stderr()); flush.console()
        sink('sink.out'); print(1); sink(); capture.output(print(3)); cat('ten')
        """,
    "much output": "cat(strrep('x', 1e6)); cat(strrep('y', 1e6), file = stderr())",
    "text": "cat('é😀\\n'); print('é😀\\u00a0'); x <- 'ä'; Encoding(x); utf8ToInt(x); writeLines(x, 'text.out')",
    "pictures": """
        plot(1:3); list.files(pattern = 'pdf'); invisible(dev.off()); file.size('Rplots.pdf') > 3000
        pdf('own.pdf', compress = FALSE); hist(c(1, 2, 2)); dev.off(); file.size('own.pdf') > 3000; plot(3:1)
        """,
    "numbers and tables": """
        set.seed(1); runif(3); rnorm(2); sample(10); RNGkind(); solve(matrix(c(2, 1, 1, 3), 2)); pi
        summary(lm(mpg ~ wt, mtcars)); head(iris); str(airquality); aggregate(mpg ~ cyl, mtcars, mean)
        setClass('A', slots = c(x = 'numeric')); setMethod('show', 'A', function(object) cat('A')); new('A')
        f <- function(x) x + 1; for (each in 1:3) f(each); f; compiler::cmpfun(f)(1)
        library(splines); dim(bs(1:10)); library(nothing.of.the.kind)
        """,
    "processes of its own": """
        unlist(parallel::mclapply(1:4, function(x) x^2, mc.cores = 2))
        writeLines(system2('Rscript', c('--vanilla', '-e', shQuote('cat(commandArgs(TRUE), 40 + 2)')), stdout = TRUE))
        """,
}


@WARM
@pytest.mark.parametrize("what", ALIKE)
def test_it_finds_the_same_as_a_fresh_start(level: int, twice: Twice, what: str) -> None:
    warm, fresh = twice("r", ALIKE[what], outputs=(".out",))

    assert warm == fresh


@pytest.mark.parametrize("made", [Path.touch, Path.mkdir, Path.rmdir], ids=["a file", "a folder", "nothing"])
def test_nothing_is_left_of_its_directory(tmp_path: Path, made: Callable[[Path], None]) -> None:
    place = tmp_path / "session"
    place.mkdir()
    made(place / "left" if made is not Path.rmdir else place)

    sessions.remove(os.fsencode(place))

    assert not place.exists()


@WARM
def test_it_is_a_fork_of_a_warm_one(level: int, twice: Twice) -> None:
    warm, fresh = twice("r", WHAT_IT_IS)

    assert warm.words[1].startswith("python")
    assert fresh.words[1] == "R"


@WARM
def test_it_has_loaded_the_packages_that_it_shall_have_and_can_do_without(
    level: int, twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_WARM_PACKAGES", "nothing.of.the.kind splines")
    settings.cache_clear()
    [wanted] = r.usual()
    eventually(lambda: lines.is_open(wanted))

    warm, fresh = twice("r", "cat('splines' %in% loadedNamespaces(), 'package:splines' %in% search(), ls(all = TRUE))")

    assert warm.words[1] == "TRUE FALSE inputs outputs params"
    assert fresh.words[1] == "FALSE FALSE inputs outputs params"


@WARM
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "R_LIBS", "TZ"])
def test_it_starts_fresh_with_a_variable_that_is_read_at_the_start(level: int, twice: Twice, variable: str) -> None:
    warm, fresh = twice("r", WHAT_IT_IS, variables=((variable, "1"),))

    assert warm == fresh


@WARM
def test_it_starts_fresh_where_a_backend_names_its_own(level: int, session: Session, twice: Twice) -> None:
    make_backend(session, options={"rscript": "Rscript"})

    warm, fresh = twice("r", WHAT_IT_IS)

    assert warm == fresh


@WARM
@pytest.mark.parametrize("number", ["runif(1)", "sample(1e9, 1)", "basename(tempfile())", "tempdir()"])
def test_it_draws_numbers_of_its_own(level: int, session: Session, work: Callable[[], None], number: str) -> None:
    make_task(session, "t", "r", f"writeLines(as.character({number}), 'drawn.out')", outputs=(".out",))
    make_job(session, "job", [(1, "t")])

    drawn = []
    for _ in range(3):
        submission = submitted(session, "job")
        work()
        session.expire_all()
        with results.open_file(submission.results[0]) as file:
            drawn.append(file.read())

    assert len(set(drawn)) == 3


@WARM
def test_it_leaves_nothing_to_the_next_run(level: int, session: Session, work: Callable[[], None]) -> None:
    code = """
        exists('mine'); getOption('mine'); Sys.getenv('MINE'); 'splines' %in% loadedNamespaces(); exists('.Random.seed')
        mine <- 1; options(mine = 2); Sys.setenv(MINE = '3'); library(splines); invisible(runif(1))
        """
    make_task(session, "t", "r", dedent(code))
    make_job(session, "job", [(1, "t")])

    first, second = (left(session, work) for _ in range(2))

    assert first == second
    assert first.words[1].split("\n")[:2] == ["[1] FALSE", "NULL"]
