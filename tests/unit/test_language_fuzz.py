"""Whatever a description is, reading it gives jobs or BadJobSpec, soon: nothing else is raised, nothing explodes.

``python -m tests.unit.test_language_fuzz 100000`` tries that many mutated texts for each language and says what it saw.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter

import pytest

from act.descriptions import MAX_CHARACTERS
from act.errors import BadJobSpec
from act.interfaces import Description
from act_arc.language.adl import language as adl
from act_arc.language.xrsl import language as xrsl
from act_condor.language.submit import language as submit

LANGUAGES = {"xrsl": xrsl, "adl": adl, "submit": submit}
XRSL = """+(&(executable="run.sh")(arguments="a ""b"" c" 'c' ^|d||e|)(rsl_substitution=("BASE" "gsiftp://se.example.org/d"))
  (inputfiles=("run.sh" "")("in" $(BASE)/in "cache=no")("b" "dir" # "/b"))(* a comment *)
  (outputfiles=("out/" "")("/" "")("@list" "")("x" $(BASE)"/x"))(executables="run.sh")(stdin="b")(stdout=o)(stderr=e)
  (walltime>="2 hours 5 minutes")(cputime=PT1H)(memory>=2000)(disk=10)(count=4)(countpernode=2)(priority=50)
  (runtimeEnvironment="ENV/PROXY")(runTimeEnvironment=APPS/X-1)(environment=("A" "1")("B" ""))(rerun=2)(gmlog=log)
  (lifetime="1 week")(starttime="2026-12-24 18:00")(notify="be a@b.c")(exclusiveexecution=yes)(acl="<a b='c'/>"))
 (&(executable=/bin/true)(jobname=second)(join=yes)(cache=yes)(ftpthreads=3)(nodeaccess=inbound)(opsys=linux))"""
SUBMIT = """# a comment
executable = bin/run.sh
base = job
arguments = "a $(Item) ""q"" 'b c' 'it''s' $(DOLLAR)x $(none:1)"
environment = "A=1 B='x y'"
transfer_input_files = data/a.txt, https://h.example.org/x/y.root
input = data/a.txt
output = out/$(base).$(Process).out
error = out/$(base).$(Process).err
request_cpus = 4
request_memory = 2 GB
request_disk = 1000000
+ProjectName = "bio"
+maxWallTime = 90
My.WholeNodes = true
universe = vanilla
queue item in (1, 2, 3)
arguments = x y \\"z\\" \\
  more
environment = A=1;B=2
queue 2 a,b from (
 p 1 2
 q, 3
)
queue 2
"""
PIECES = {
    "xrsl": ["(", ")", '"', "'", "^", "#", "$(", "$(BASE)", "&", "|", "+", "(*", "*)", "=", ">=", '("a" "b")', '""'],
    "adl": [
        "<",
        ">",
        "</",
        "/>",
        "&amp;",
        "&x;",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?a",
        'xmlns="',
        "<Name>",
        "\ufffe",
    ],
    "submit": [
        "$(",
        ")",
        "$(Item)",
        "$(base",
        "\\\n",
        "\n",
        '"',
        '""',
        "'",
        "=",
        "queue",
        "queue 3",
        "$ENV(",
        ":",
        "in (",
    ],
}
COMMON = [
    "\x00",
    "\t",
    "\ud800",
    "é",
    "9" * 30,
    "-1",
    "../",
    "/",
    "@",
    "file://",
    "https://",
    "\r\n",
    " " * 50,
    "%s",
    "",
]


def samples() -> dict[str, str]:
    one, two = xrsl(XRSL)
    return {"xrsl": XRSL, "adl": adl.write(one).replace("\n", "\n<!-- -->", 3) + " " * two.cores, "submit": SUBMIT}


def mutated(chance: random.Random, text: str, pieces: list[str]) -> str:
    """The text with some parts of it lost, doubled, swapped or replaced."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at, length = chance.randrange(len(text) + 1), chance.choice((1, 1, 2, 8, 40))
        part = text[at : at + length]
        to = chance.randrange(len(text) + 1)
        new = chance.choice(
            (chance.choice(pieces), chance.choice(COMMON), part * 2, part[::-1], "", text[to : to + length])
        )
        text = text[:at] + new + text[at + length * chance.randrange(2) :]
    return text


def try_all(name: str, count: int, seed: int) -> Counter[str]:
    """Read count mutated texts; what came of them."""
    chance, seen, sample = random.Random(seed), Counter[str](), samples()[name]
    for _ in range(count):
        text = mutated(chance, sample, PIECES[name] + COMMON)
        try:
            LANGUAGES[name](text)
        except BadJobSpec as e:
            seen["refused"] += 1
            assert len(str(e)) < 2000, text
        except Exception as e:
            raise AssertionError(f"{e!r} of {text!r}") from e
        else:
            seen["read"] += 1
    return seen


@pytest.mark.parametrize("name", LANGUAGES)
def test_mutated_descriptions_are_read_or_refused(name: str) -> None:
    seen = try_all(name, 1000, seed=5)
    assert min(seen["refused"], seen["read"]) > 10


@pytest.mark.parametrize("name", LANGUAGES)
def test_random_signs_are_refused(name: str) -> None:
    chance = random.Random(6)
    for _ in range(300):
        signs = [chance.choice((*PIECES[name], *COMMON, chr(chance.randrange(0x3000)))) for _ in range(20)]
        with pytest.raises(BadJobSpec):
            LANGUAGES[name]("".join(signs))


MANY = 50_000
HUGE = {
    "xrsl": [
        "(" * MANY, "&" + "(" * MANY, "&(a=" + "(" * MANY + ")" * MANY + ")", "&(a=" + '"' * (MANY + 1),
        "&(a=" + "(* x " * MANY,
        "&" + "(&" * 20_000 + "(a=b)" + ")" * 20_000, "&(a=" + "x#" * 20_000 + "x)", "&(a=^" + "b" * MANY,
        "&(rsl_substitution=(A " + "x" * 1000 + "))(executable=" + "$(A)" * 20_000 + ")",
        "&" + "".join(f"(rsl_substitution=(V{n + 1} $(V{n})$(V{n})))" for n in range(100)).replace("$(V0)", "x"),
        "+" + "(&(executable=a))" * 10_001,
        "&(executable=a)(inputfiles=" + "".join(f'(a{n} "")' for n in range(10_000)) + '(a1 ""))',
        "&(executable=a)(outputfiles=" + "".join(f'(a{n} "")' for n in range(10_000)) + '(a1 ""))',
    ],
    "adl": [
        '<a xmlns="http://www.eu-emi.eu/es/2010/12/adl">' * 20_000, "<" * MANY, "\n" * MANY,
        '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
        adl.write(xrsl("&(executable=/bin/true)")[0]).replace("<Name>", "<Name>" + "x " * MANY).replace("/bin", ".."),
    ],
    "submit": [
        "executable=a\n" + "queue\n" * 20_000, "executable=a\nqueue 999999999", "a=1\n" * MANY,
        "".join(f"a{n}=1\n" for n in range(20_000)), "x=a\n" + "x=$(x)$(x)\n" * 1000 + "queue",
        "".join(f"v{n + 1}=$(v{n})$(v{n})\n" for n in range(60)) + "v0=\nexecutable=a$(v60)\nqueue",
        "".join(f"v{n + 1}=$(v{n})$(v{n})\n" for n in range(19)) + "v0=\nexecutable=a$(v19)\nqueue 1000",
        "executable=a\narguments=" + "$(b)" * MANY + "\nb=" + "c" * 1000 + "\nqueue",
        "executable=a\nqueue a in (" + "b " * MANY + ")", "executable=a\narguments=" + "$(a" * MANY + "\nqueue",
        "executable=a\ntransfer_input_files=" + ",".join(f"d/a{n}" for n in range(MANY)) + ",a1\nqueue",
        "\\\n" * MANY, "executable=a\narguments=\"" + "'" * (MANY + 1) + '"\nqueue',
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HUGE.items() for text in texts])
def test_deep_and_huge_descriptions_are_refused(name: str, text: str) -> None:
    with pytest.raises(BadJobSpec):
        LANGUAGES[name](text)


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_a_description_is_bounded_before_it_is_read(language: Description) -> None:
    with pytest.raises(BadJobSpec, match="split it"):
        language("x" * (MAX_CHARACTERS + 1))


if __name__ == "__main__":
    for language_name in LANGUAGES:
        start = time.monotonic()
        found = try_all(language_name, int(sys.argv[1]), seed=int(time.time()))
        sys.stdout.write(f"{language_name}: {dict(found)} in {time.monotonic() - start:.0f} s\n")
