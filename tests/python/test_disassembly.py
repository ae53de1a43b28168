# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Built code needs nothing but x86-64, except in kernels, which are chosen at run time."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = [
    *sorted(ROOT.glob("build/tests/src/libcomputelocator_*.a")),
    *sorted(ROOT.glob("build/tests/tests/computelocator_[ct]*_test")),
    *sorted(ROOT.glob("build/tests/examples/example_[12]_*")),
    *sorted(ROOT.glob("build/cp*/bindings/_core*.so")),
]

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\t(?:(?:bnd|notrack|rep[a-z]*|lock|data16|cs) )*(\S+)")
# AVX and AVX-512 put a v before the name of an instruction and a k before that of one on masks. BMI
# and popcnt came with the same processors and are as forbidden.
BEYOND = re.compile(r"^(v(?!erw?$)|k(?:mov|ortest|unpck|and|or|xor|not|test|add|shift)|andn$|bextr|blsi|blsmsk|blsr|bzhi|mulx|"
                    r"pdep|pext|rorx|sarx|shlx|shrx|popcnt|lzcnt)")  # fmt: skip


def qualified_name(demangled):
    """Give a function's name without its result, template arguments and parameters."""
    text = demangled.replace("(anonymous namespace)::", "").replace("operator()", "operator call")
    text = re.sub(r"operator\s*(<=>|<<=?|>>=?|<=?|>=?|->\*?)", "operator sign", text)
    plain, depth = "", 0
    for c in text:
        depth += c == "<"
        if depth == 0:
            plain += c
        depth -= c == ">"
    return plain.split("(")[0].strip().split(" ")[-1]


def is_kernel(demangled):
    """A kernel says so in its name, or in that of its class."""
    return "avx" in qualified_name(demangled)


def beyond_the_baseline(disassembly):
    """Give {function: instruction} of what older processors do not have."""
    found, function = {}, None
    for line in disassembly.splitlines():
        if start := FUNCTION.match(line):
            function = start[1]
        elif (at := INSTRUCTION.match(line)) and BEYOND.match(at[1]):
            found.setdefault(function, line.strip().split("\t")[-1])
    return found


@pytest.fixture(scope="module")
def disassembled():
    if platform.machine() != "x86_64":
        pytest.skip("this looks for AVX in the baseline of x86-64; this processor has another one")
    if shutil.which("objdump") is None:
        pytest.skip("no objdump: install binutils")
    if not BUILT:
        pytest.skip("nothing is built: make test builds it")
    return {
        path: beyond_the_baseline(
            subprocess.run(
                ["objdump", "-d", "-C", "--no-show-raw-insn", path], check=True, capture_output=True, text=True
            ).stdout
        )
        for path in BUILT
    }


def test_code_outside_kernels_runs_on_any_x86_64(disassembled):
    faults = [
        f"{path.relative_to(ROOT)}: {function}: {instruction}"
        for path, found in disassembled.items()
        for function, instruction in found.items()
        if not is_kernel(function)
    ]
    assert not faults, "\n".join(faults)


def test_kernels_are_seen(disassembled):
    for path in BUILT:
        if path.name in ("libcomputelocator_columns.a", "computelocator_text_test") or path.suffix == ".so":
            kernels = {name: said for name, said in disassembled[path].items() if is_kernel(name)}
            assert any("%ymm" in said or said.startswith("v") for said in kernels.values()), path


def test_names_are_understood():
    for name, plain in {
        "cl::detail::index_avx2(char const*, unsigned long)": "cl::detail::index_avx2",
        "unsigned char* cl::detail::avx512_isa::append(unsigned long)": "cl::detail::avx512_isa::append",
        "bool cl::page_walker<cl::(anonymous namespace)::avx2_sink>::step()": "cl::page_walker::step",
        "void cl::walk<&cl::detail::index_avx2>(char const*)": "cl::walk",
        "bool std::operator< <char>(std::pair<int, int> const&)": "sign",
    }.items():
        assert qualified_name(name) == plain
    seen = beyond_the_baseline(
        "0000000000000000 <cl::step()>:\n"
        "   0:\tpush   %rbp\n   1:\tvmovdqu (%rdi),%ymm0\n"
        "0000000000000010 <cl::stop()>:\n  10:\trep movsb %ds:(%rsi),%es:(%rdi)\n  12:\tret\n"
    )
    assert seen == {"cl::step()": "vmovdqu (%rdi),%ymm0"}
