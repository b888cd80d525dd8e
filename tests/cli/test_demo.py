import subprocess
import sys
from pathlib import Path

from tests.cli.photos import pixels, records

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo_makes_what_it_says(tmp_path):
    done = subprocess.run([sys.executable, DEMO, tmp_path / "demo"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "$ augdrop apply" in done.stdout
    assert "images/s" in done.stdout.splitlines()[-3]
    assert pixels(tmp_path / "demo" / "preview.png").shape[0] > 1800
    made = records(tmp_path / "demo" / "dropped")
    assert len(made) == 240
    assert len({method for record in made.values() for method in record["methods"]}) == 8
    for name in ("preview.png", "dropped/manifest.jsonl", "dropped/labels.csv"):
        assert str(tmp_path / "demo" / name) in done.stdout
        assert (tmp_path / "demo" / name).is_file()
