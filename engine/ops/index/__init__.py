"""Reading and writing at places, sorting and searching."""
