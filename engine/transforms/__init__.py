"""Graph to graph: the two walks, vmap, simplification. None of them knows any op by name beyond the arithmetic of tangents."""
