"""What is found by solving: roots, fixed points, linear systems given as functions."""
