"""Values of parameters, commands and environments are data: what looks like code arrives as it was sent, or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from portal.domain.drafts import OWN_VARIABLES, ParameterDraft
from portal.domain.errors import Invalid
from portal.domain.parameters import Kind
from portal.models import Result, Submission, Upload
from portal.services.submissions import LARGEST_ARGUMENTS
from tests.attacks.hostile import MARKUP, WAYS, A, Site, active, by_api, by_contract, by_page, in_time, site, upload
from tests.making import work_through

__all__ = ["site"]

LANGUAGES = {
    "command": "printf '%s\\0' {places}",
    "python": "import json\nprint(json.dumps([params[f'p{{n}}'] for n in range({number})]), end='')",
    "r": "for (n in 0:({number} - 1)) cat(params[[paste0('p', n)]], '\\x01', sep='')",
}
SHELL = [
    "; touch {canary}",
    "$(touch {canary})",
    "`touch {canary}`",
    "| touch {canary}",
    "&& touch {canary}",
    "\ntouch {canary}",
    "> {canary}",
    "%0atouch {canary}",
    "' ; touch {canary} ; '",
    '" ; touch {canary} ; "',
    "\\'; touch {canary} #",
    "$'\\n'touch {canary}",
    "${{x:=$(touch {canary})}}",
    "!touch {canary}",
    "<(touch {canary})",
    "a\ttouch {canary}",
]
PYTHON = [
    "a'}}; import os; os.system('touch {canary}'); P1={{'a':'",
    "__import__('os').system('touch {canary}')",
    '""" + open("{canary}", "w").write("") + """',
    "\\N{{LATIN SMALL LETTER A}}",
    "'+str(open('{canary}','w'))+'",
]
R = ["'); system('touch {canary}'); ('", "\\\\'", "\\u0027); system('touch {canary}')", "`system`('touch {canary}')"]
DASHES = ["--config=/etc/passwd", "-o{canary}", "-e", "--", "-", "-n", "--help"]
ADDRESSES = ["@/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:{port}/", "|touch {canary}", ">{canary}", "<&0"]
EXPANSIONS = [
    "$HOME",
    "~root",
    "*",
    "{{1..9}}",
    "%s%n",
    "{{0.__class__}}",
    "{{{{7*7}}}}",
    "${{7*7}}",
    "<%=7*7%>",
    "$((7*7))",
    "?",
    "[a-z]*",
    "\\$HOME",
    "#{{7*7}}",
    "%(secret_key)s",
]
PLACES = ["$I1", "$O1", "$P2", "$VALUE", "$ID", "$TMP", "${{P3}}", "$P11"]
HONEST = ["-5", "1e-3", "a_b", "E. coli (K-12)", "O'Brien", "naïve 日本", "é", "a  b", "x²", "👩‍🔬"]
TEXTS = [*SHELL, *PYTHON, *R, *DASHES, *ADDRESSES, *EXPANSIONS, *PLACES, *HONEST, MARKUP.replace("{", "")]
MARKS = {
    "PA-01": SHELL,
    "PA-02": PYTHON,
    "PA-03": R,
    "PA-04": DASHES,
    "PA-05": ADDRESSES,
    "PA-06": EXPANSIONS,
    "PA-07": PLACES,
    "PA-09": HONEST,
}


ATTACKS = {
    "PA-01": pytest.mark.attack("PA-01"),
    "PA-02": pytest.mark.attack("PA-02"),
    "PA-03": pytest.mark.attack("PA-03"),
    "PA-04": pytest.mark.attack("PA-04"),
    "PA-05": pytest.mark.attack("PA-05"),
    "PA-06": pytest.mark.attack("PA-06"),
    "PA-07": pytest.mark.attack("PA-07"),
    "PA-08": pytest.mark.attack("PA-08"),
    "PA-09": pytest.mark.attack("PA-09"),
    "PA-10": pytest.mark.attack("PA-10"),
    "PA-13": pytest.mark.attack("PA-13"),
    "PA-16": pytest.mark.attack("PA-16"),
    "PN-05": pytest.mark.attack("PN-05"),
}


def filled(site: Site, value: str) -> str:
    return value.format(canary=site.canary, port=site.listener.port)


def run(site: Site, job: str, values: dict[str, str]) -> str:
    """Submit by the contract, run it for real, and give its UUID."""
    answer = by_contract(site, job, values)
    assert answer.status_code == 201, answer.json
    work_through()
    with site.session() as session:
        [submission] = session.query(Submission).filter(Submission.batch.has(uuid=answer.json["UUID"])).all()
        assert submission.state == "COMPLETE", [message.sentence for message in submission.messages]
        return submission.uuid


def printed(site: Site, uuid: str) -> bytes:
    with site.session() as session:
        [stored] = session.scalars(select(Submission).where(Submission.uuid == uuid)).one().results
        return site.ask("GET", f"/runs/{uuid}/results/{stored.name}").data


def all_of(count: int) -> tuple[ParameterDraft, ...]:
    return tuple(ParameterDraft(f"p{n}", switchless=True, required=True) for n in range(count))


@pytest.fixture(scope="module")
def echoed(site: Site) -> Iterator[dict[str, list[str]]]:
    """What programs of each language had of each of TEXTS, and the page of such a run."""
    values = [filled(site, each) for each in TEXTS]
    found: dict[str, list[str]] = {}
    for language, code in LANGUAGES.items():
        code = code.format(places=" ".join(f"$P{n}" for n in range(1, len(TEXTS) + 1)), number=len(TEXTS))
        job = site.service(code, language, parameters=all_of(len(TEXTS)))
        uuid = run(site, job, {f"{job}_p{n}": value for n, value in enumerate(values)})
        words = printed(site, uuid).decode()
        found[language] = json.loads(words) if language == "python" else words.split("\0\x01"[language == "r"])[:-1]
        found[f"{language} page"] = [site.ask("GET", f"/runs/{uuid}").get_data(as_text=True)]
        found[f"{language} form"] = [
            site.ask(
                "GET", f"/jobs/{job}/run", query_string={f"p.{job}_p{n}": value for n, value in enumerate(values)}
            ).get_data(as_text=True)
        ]
    yield found


def tries(*numbers: str) -> list[Any]:
    """Each of these attacks' texts, under its id."""
    return [
        pytest.param(TEXTS.index(each), marks=ATTACKS[number], id=f"{number}-{each[:20]!r}")
        for number in numbers
        for each in MARKS[number]
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("place", tries(*MARKS))
def test_it_gives_each_value_to_the_program_as_it_was_sent(
    site: Site, echoed: dict[str, list[str]], language: str, place: int
) -> None:
    assert echoed[language][place] == filled(site, TEXTS[place])
    site.alarm()


@pytest.mark.attack("PA-06")
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_shows_values_and_reckons_nothing(site: Site, echoed: dict[str, list[str]], language: str) -> None:
    page = echoed[f"{language} page"][0] + echoed[f"{language} form"][0]

    assert "{{7*7}}" in page
    assert not active(page)


@pytest.mark.attack("PA-01", "PA-07")
@pytest.mark.parametrize(
    "code",
    [
        'printf %s "$P1"',
        "printf %s '$P1'",
        "printf %s ${P1}",
        "cat <<E\n$P1\nE\n",
        'x=$P1; printf %s "$x"',
        "echo -n $P1",
        "printf %s $(printf %s $P1)",
        "printf %s a$P1",
        "grep -F -e $P1 -c -- /dev/null || :",
    ],
)
def test_it_keeps_a_value_one_word_however_the_line_quotes_it(site: Site, code: str) -> None:
    value = f"a'b\"c `touch {site.canary}` $(touch {site.canary}) $P1 ; touch {site.canary} \\"
    job = site.service(code, parameters=(ParameterDraft("v", switchless=True, required=True),))

    words = printed(site, run(site, job, {f"{job}_v": value})).decode()

    assert value in words or "grep" in code or "$(" in code
    site.alarm()


@pytest.mark.attack("PA-07")
def test_it_tells_the_first_parameter_from_the_twelfth(site: Site) -> None:
    places = " ".join(f"$P{n}" for n in range(1, 13))
    job = site.service(f"printf '%s ' {places}", parameters=all_of(12))

    words = printed(site, run(site, job, {f"{job}_p{n}": f"$P{12 - n}" for n in range(12)}))

    assert words.split() == [f"$P{12 - n}".encode() for n in range(12)]


KINDS = (
    ParameterDraft("whole", kind=Kind.INTEGER, default="1", maximum=2**40),
    ParameterDraft("real", kind=Kind.DECIMAL, default="1"),
    ParameterDraft("one", kind=Kind.CHOICE, default="low", choices=("low", "high")),
    ParameterDraft("day", kind=Kind.DATE, default="2026-01-01"),
    ParameterDraft("words", maximum=100),
    ParameterDraft("on", kind=Kind.BOOLEAN, default="FALSE"),
    ParameterDraft("table", kind=Kind.FILE, choices=(".csv",)),
    ParameterDraft("formed", pattern="[a-z]+"),
)


@pytest.fixture(scope="module")
def typed(site: Site) -> str:
    """A job with a parameter of each type."""
    return site.service("true", parameters=KINDS)


NUMBERS = [
    "NaN",
    "Infinity",
    "-inf",
    "1e999",
    "0x1F",
    "1_000",
    "١٢",
    "9" * 5000,
    "１",
    "true",
    "1;2",
    "1,5",
    "1e",
    "--1",
]
WHOLE = [*NUMBERS, str(2**63), str(-(2**63)), " 5", "5\n", "1.0", "1e3"]
CHOICES = ["Low", "LOW", "low ", '["low"]', "null", '{"a":1}', "x" * 100_000, "low,high", "low\nhigh"]
DAYS = ["9999-99-99", "0000-00-00", "now()", "2026-01-01T00:00:00+15:00", "2026-1-1", "20260101", "٢٠٢٦-01-01", "today"]
CHARACTERS = ["a\0b", "\x1b[2J", "\x1b]8;;http://x\x07", "x" * 1_000_000, "e" + "\u0301" * 10_000, "\x07", "\x7f\0"]
REFUSED = [
    *((("PA-08", "real", each)) for each in NUMBERS),
    *((("PA-08", "whole", each)) for each in WHOLE),
    *((("PA-10", "one", each)) for each in CHOICES),
    *((("PN-05", "day", each)) for each in DAYS),
    *((("PA-13", "words", each)) for each in CHARACTERS),
    ("PA-08", "on", "maybe"),
    ("PA-16", "table", "/etc/hosts"),
    ("PA-16", "table", "../other/result"),
    ("PA-16", "table", "1"),
    ("PA-13", "formed", "a\n"),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, marks=ATTACKS[number], id=f"{number}-{name}-{value[:12]!r}")
        for number, name, value in REFUSED
    ],
)
def test_it_refuses_a_value_that_is_not_of_the_type(site: Site, typed: str, name: str, value: str) -> None:
    before = site.counts()

    for way in (by_contract, by_api) if name in ("table", "on") else WAYS:
        answer = way(site, typed, {f"{typed}_{name}": value})

        assert answer.status_code in (400, 413, 422), way
        assert f"{typed}_{name}" in answer.get_data(as_text=True)
    assert site.counts() == before


@pytest.mark.attack("PA-13")
@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xff", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80"])
def test_it_refuses_bytes_that_are_no_text(site: Site, typed: str, raw: bytes) -> None:
    body = (
        b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
            for name, value in (
                ("job", typed.encode()),
                ("name", b"x"),
                ("submission_name", b"x"),
                ("email", b"a@b.org"),
                (f"{typed}_words", raw),
            )
        )
        + b'--b\r\nContent-Disposition: form-data; name="input_data"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    )

    for path in (f"{A}/submission.json", "/api/v1/submissions"):
        answer = site.ask("POST", path, site.nobody, data=body, content_type="multipart/form-data; boundary=b")

        assert answer.status_code in (400, 422)


NAMELESS = (
    b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n"
    b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--b--\r\n'
)


@pytest.mark.attack("PA-13")
@pytest.mark.parametrize(
    "path",
    [
        f"{A}/submission/",
        "/api/v1/submissions",
        "/tasks/new",
        "/jobs/new",
        "/backends/new",
        "/tasks/preview",
        "/import",
        "/tokens",
    ],
)
def test_it_bears_with_a_part_without_a_name(site: Site, path: str) -> None:
    answer = site.ask("POST", path, data=NAMELESS, content_type="multipart/form-data; boundary=b")

    assert 200 <= answer.status_code < 500


@pytest.mark.attack("PA-09")
@pytest.mark.parametrize("value", ["-5", "1e-3", "-1.5E+2", ".5", "+7"])
def test_it_takes_every_honest_number(site: Site, typed: str, value: str) -> None:
    answer = by_contract(site, typed, {f"{typed}_real": value})

    assert answer.status_code == 201


ODD = [
    "__class__",
    "__proto__",
    "uuid",
    "state",
    "owner_id",
    "self",
    "fields",
    "account",
    "idempotency_key",
    "constructor",
]


@pytest.mark.attack("PA-11", "PA-12")
@pytest.mark.parametrize("name", [*ODD, "x" * 1000, f"{MARKUP}", "files", "values"])
def test_its_api_refuses_a_field_that_nothing_takes(site: Site, typed: str, name: str) -> None:
    before = site.counts()

    answer = by_api(site, typed, {name: "1"})

    assert answer.status_code == 422, answer.json
    assert site.counts() == before


@pytest.mark.attack("PA-12")
@pytest.mark.parametrize("name", ODD)
def test_its_contract_passes_over_a_field_that_nothing_takes(site: Site, typed: str, name: str) -> None:
    answer = by_contract(site, typed, {name: "1"})

    assert answer.status_code == 201
    with site.session() as session:
        made = session.query(Submission).filter(Submission.batch.has(uuid=answer.json["UUID"])).one()
        assert (made.state, made.batch.account_id) == ("QUEUED", None)
        assert made.uuid != "1"


@pytest.mark.attack("PA-12")
@pytest.mark.parametrize("name", ODD)
def test_it_bears_with_a_parameter_of_such_a_name(site: Site, name: str) -> None:
    parameters = (ParameterDraft(f"={name}", kind=Kind.INTEGER, required=True, switchless=True),)
    job = site.service("printf %s $P1", parameters=parameters)

    assert by_contract(site, job, {name: "x"}).status_code == 400
    assert by_page(site, job, {name: "x"}).status_code == 422
    assert by_api(site, job, {name: "x"}).status_code == 422
    assert printed(site, run(site, job, {name: "7"})) == b"7"


@pytest.mark.attack("PA-12")
@pytest.mark.parametrize("name", ["job", "submission_name", "email", "input_data"])
def test_no_parameter_is_called_as_the_portals_own_fields(site: Site, name: str) -> None:
    with pytest.raises(Invalid):
        site.service("true", parameters=(ParameterDraft(f"={name}"),))


@pytest.mark.attack("PA-11")
@pytest.mark.parametrize("name", ["job", "name", "email", "words"])
def test_its_api_refuses_a_field_that_is_sent_twice(site: Site, typed: str, name: str) -> None:
    field = f"{typed}_words" if name == "words" else name
    before = site.counts()

    answer = by_api(site, typed, {field: ["one", "two"]})

    assert answer.status_code == 422
    assert list(answer.json["fields"]) == [field]
    assert site.counts() == before


@pytest.mark.attack("PA-11")
def test_its_api_refuses_two_files_of_a_parameter(site: Site, typed: str) -> None:
    before = site.counts()

    answer = by_api(site, typed, {f"{typed}_table": [upload(b"1,2\n"), upload(b"3,4\n")]})

    assert answer.status_code == 422
    assert list(answer.json["fields"]) == [f"{typed}_table"]
    assert site.counts() == before


DUPLICATES = [
    '{"name": "one", "name": "two", "language": "command", "backend": "here", "code": "true"}',
    '{"name": "a", "language": "command", "backend": "here", "code": "true", "retries": {"most": 1, "most": 2}}',
    '{"name": "a", "language": "command", "backend": "here", "code": "true", "\\u006eame": "b"}',
    '{"name": "a", "steps": [{"order": 1, "order": 2, "task": "x"}]}',
]


@pytest.mark.attack("PA-11", "IN-01")
@pytest.mark.parametrize("body", DUPLICATES)
def test_it_refuses_json_with_a_name_that_stands_twice(site: Site, body: str) -> None:
    path = "/jobs" if "steps" in body else "/tasks"
    before = site.counts()

    answer = site.json("POST", path, body)

    assert answer.status_code == 400
    assert "twice" in answer.json["detail"]
    assert site.counts() == before


@pytest.mark.attack("PA-14")
@pytest.mark.parametrize("way", WAYS)
def test_it_refuses_values_that_no_program_can_be_started_with(site: Site, way: Any) -> None:
    job = site.service("printf %s $P1 $P2 $P3 $P4", parameters=all_of(4))

    answer = way(site, job, {f"{job}_p{n}": "日" * 10_000 for n in range(4)})

    assert answer.status_code in (400, 422)
    assert f"{LARGEST_ARGUMENTS}" in answer.get_data(as_text=True)


@pytest.mark.attack("PA-14")
def test_it_starts_a_program_with_all_that_it_accepts(site: Site) -> None:
    job = site.service("/usr/bin/printf %s%s%s%s $P1 $P2 $P3 $P4", parameters=all_of(4))
    values = {f"{job}_p{n}": "é" * 10_000 for n in range(4)}

    assert printed(site, run(site, job, values)).decode() == "é" * 40_000


@pytest.mark.attack("PA-14", "PA-15")
def test_no_environment_is_larger_than_a_program_can_have(site: Site) -> None:
    many = tuple((f"V{n}", "日" * 10_000) for n in range(5))

    with pytest.raises(Invalid, match="environment"):
        site.service("true", variables=many)


RESERVED = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "PATH",
    "HOME",
    "TMPDIR",
    "PYTHONSTARTUP",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONBREAKPOINT",
    "PYTHONWARNINGS",
    "BASH_ENV",
    "ENV",
    "IFS",
    "R_PROFILE",
    "R_PROFILE_USER",
    "R_ENVIRON",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "SHELLOPTS",
    "PS4",
]
NO_NAMES = ["A=B", "X\n", "", "1A", "A B", "A\0", "é", "A" * 200, "BASH_FUNC_ls%%", "a;b", "$(id)"]


@pytest.mark.attack("PA-15")
@pytest.mark.parametrize("name", [*RESERVED, *NO_NAMES])
def test_it_refuses_variables_that_change_how_programs_start(site: Site, name: str) -> None:
    body = {"name": site.name(), "language": "command", "backend": "here", "code": "true", "variables": [[name, "x"]]}
    before = site.counts()

    answer = site.json("POST", "/tasks", body)

    assert answer.status_code == 422
    assert "variables-0-name" in answer.json["fields"]
    assert site.counts() == before


@pytest.mark.attack("PA-15")
def test_a_program_has_nothing_of_the_services_environment(site: Site) -> None:
    job = site.service("env; cat /proc/self/environ", variables=(("MINE", "$(id)'\n;"),))

    names = {line.partition("=")[0] for line in printed(site, run(site, job, {})).decode().split("\n") if "=" in line}

    assert "A_SECRET_OF_THE_SERVICE" not in names
    assert {"MINE", "PATH", "HOME", "TMPDIR"} <= names
    assert not [name for name in names if OWN_VARIABLES.fullmatch(name) and name not in ("PATH", "HOME", "TMPDIR")]


@pytest.mark.attack("PA-16")
@pytest.mark.parametrize("name", ["../../etc/passwd.csv", "/etc/hosts.csv", "..\\x.csv", ".csv", "a\n.csv"])
def test_the_name_of_a_file_is_no_way_to_another(site: Site, typed: str, name: str) -> None:
    answer = by_contract(site, typed, {f"{typed}_table": upload(b"1,2\n", name)})

    assert answer.status_code in (201, 400)
    with site.session() as session:
        names = [each.name for each in session.query(Upload).filter(Upload.field != "")]
        assert not [each for each in names if "/" in each or "\\" in each or "\n" in each]


@pytest.mark.attack("PA-16")
def test_it_gives_no_file_of_another_run_by_its_number(site: Site) -> None:
    with site.session() as session:
        theirs = select(Submission.id).where(Submission.uuid == site.others)
        names = session.scalars(select(Result.name).where(Result.submission_id.not_in(theirs)).limit(3)).all()
    for name in (*names, "1", "../1", site.others):
        assert site.ask("GET", f"/runs/{site.others}/results/{name}", site.nobody).status_code == 404


@pytest.mark.attack("PA-17")
@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(\w+\s?)*$", r"(a|aa)+$", r"(.*)*b", r"([a-z]+)*\d"])
def test_an_analysts_own_pattern_takes_no_time(site: Site, pattern: str) -> None:
    job = site.service("true", parameters=(ParameterDraft("v", pattern=pattern),))

    for way in WAYS:
        assert way(site, job, {f"{job}_v": "a" * 9000 + "!"}).status_code in (201, 302, 303, 400, 422)


@pytest.mark.attack("PA-17")
@pytest.mark.parametrize(
    "pattern", [r"(?=a)", r"(a)\1", "(" * 200, "a{1000}{1000}{1000}", "[", "x" * 5000, "a\0", "a{2,1}"]
)
def test_it_takes_no_pattern_that_it_cannot_match_in_time(site: Site, pattern: str) -> None:
    with in_time(), pytest.raises(Invalid):
        site.service("true", parameters=(ParameterDraft("v", pattern=pattern),))


ENDINGS = [
    "**/*",
    "../*",
    "/etc/*",
    "[" * 10_000,
    "*",
    "a/b",
    ".",
    "..",
    "a\0",
    ".a\nb",
    "$(id)",
    ".{a,b}",
    "~",
    "-rf *",
]


@pytest.mark.attack("PA-18")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("place", ["inputs", "outputs", "stdout"])
def test_no_ending_reaches_beyond_the_runs_directory(site: Site, place: str, ending: str) -> None:
    body: dict[str, Any] = {"name": site.name(), "language": "command", "backend": "here", "code": "true"}

    answer = site.json("POST", "/tasks", {**body, place: ending if place == "stdout" else [ending]})

    if ending in (".", ".."):
        assert answer.status_code in (201, 422)
    else:
        assert answer.status_code == 422
        assert place in answer.json["fields"]
