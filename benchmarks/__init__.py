"""What is promised about speed, as ratios of two things measured in one run.

Run from the repository root; nothing here is installed, and no absolute time decides anything.
"""
