"""Special functions: SciPy's values, derivatives of every order."""
