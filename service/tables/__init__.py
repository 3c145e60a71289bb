"""Answers as tables to read: Markdown and LaTeX."""
