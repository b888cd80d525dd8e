"""The README keeps its word: its snippets run, its tables are complete, its files exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import augdrop as ad
from augdrop.tokens import registry as tokens

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.S)
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, flags=re.S) for line in block.splitlines()]


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_python_snippets_run(number, tmp_path):
    script = tmp_path / "snippet.py"
    script.write_text(SNIPPETS[number])
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("section", ["Methods", "Tokens"])
def test_every_method_stands_in_the_table_with_its_source(section):
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)` \|.*$", text, flags=re.M)}
    assert list(rows) == list({"Methods": ad.METHODS, "Tokens": tokens.METHODS}[section])
    for name, row in rows.items():
        citation = ad.METHODS[name].citation if section == "Methods" else tokens.citation_of(name)
        if citation is None:  # this package's own
            assert row.endswith("| – |")
        else:
            assert citation.arxiv in row and str(citation.year) in row
            assert re.split(r"[ ,&]", citation.authors)[0] in row


def test_the_command_line_is_as_written(tmp_path):
    from PIL import Image
    from skimage import data

    (tmp_path / "photos").mkdir()
    for name in ("cat", "dog"):
        Image.fromarray(data.astronaut()).resize((96, 80)).save(tmp_path / "photos" / f"{name}.png")
    commands = [line for line in COMMANDS if line.startswith("augdrop ")]
    assert len(commands) == 5
    for line in commands:
        words = shlex.split(line.replace("cat.jpg", "cat.png"), comments=True)
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (tmp_path / "preview.png").stat().st_size > 10_000
    first, second = (sorted(p for p in (tmp_path / d).rglob("*.png")) for d in ("out", "again"))
    assert len(first) == 8 and [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_links_and_targets_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_every_public_name_is_documented():
    for name in ad.__all__:
        value = getattr(ad, name)
        assert getattr(value, "__doc__", None), name
