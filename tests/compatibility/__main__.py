"""Record the names of this working tree in ``names.json``: ``python -m tests.compatibility``."""

import json
import tempfile
from pathlib import Path

from tests.compatibility.prepared import prepared
from tests.compatibility.recording import NAMES, everything

with tempfile.TemporaryDirectory() as folder, prepared(Path(folder)) as box:
    names = everything(box, Path(folder))
NAMES.write_text(json.dumps(names, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
print(f"{NAMES}: {sum(len(shape) for shapes in names.values() for shape in shapes.values())} names")
