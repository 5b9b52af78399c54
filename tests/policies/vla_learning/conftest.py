"""The tiny policies and episodes of the tests of ``policies.vla``, here too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

FILE = Path(__file__).parents[1] / "vla" / "conftest.py"
spec = importlib.util.spec_from_file_location("vla_fixtures", FILE)
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
episodes, facts, recipes, _repeatable = module.episodes, module.facts, module.recipes, module._repeatable
settings_of = module.settings_of
sys.path.append(str(Path(__file__).parent))
