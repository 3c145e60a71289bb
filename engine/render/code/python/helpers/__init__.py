"""Functions that generated code may hold: written here as any code, and read as text (`library.py`)."""
