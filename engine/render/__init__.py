"""Programs as people read them: a drawing for Graphviz (`dot`), a formula in LaTeX and MathML (`latex`)."""
