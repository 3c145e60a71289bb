"""Running graphs."""

import engine.tape  # noqa: F401  # says how loops are run
