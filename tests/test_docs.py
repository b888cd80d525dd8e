"""The pages in docs/ keep their word: their snippets run, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
SNIPPETS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S))
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_snippets_run(code):
    program = compile(code, "snippet", "exec")
    if code.startswith("# needs a GPU") and not torch.cuda.is_available():
        pytest.skip("no GPU")
    # Inductor would compile for a minute; that it can is tested in test_compile.py.
    with torch.compiler.set_stance("force_eager"):
        exec(program, {"__name__": "snippet"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_files_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    for file in re.findall(r"`((?:tests|benchmarks|augdrop)/[\w/.]+)`", text):
        # What a benchmark writes on a GPU is not there before it has run on one.
        assert (ROOT / file).exists() or file == "benchmarks/GPU.md", file
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        heads = [
            re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, flags=re.M)
        ]
        assert anchor in heads, anchor
