"""Programs as numerical functions: evaluated at many points, with counts of what that took."""
