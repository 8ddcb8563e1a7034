#!/usr/bin/env python3
"""recipe_test.py TOP: the program in docs/recipes/library.md is the one that install.find_package runs."""

import pathlib
import sys

top = pathlib.Path(sys.argv[1])
page = (top / "docs/recipes/library.md").read_text(encoding="utf-8")
program = (top / "cmake/tests/consumer/main.cc").read_text(encoding="utf-8")
if f"```cpp\n{program}```\n" not in page:
    sys.exit("docs/recipes/library.md does not have cmake/tests/consumer/main.cc as it is")
print("the recipe is the program that is tested")
