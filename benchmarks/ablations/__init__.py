"""What the paper left out: which parts of the recipe matter, at a scale that a CPU core can do.

Small networks are trained by the real trainer and judged on clips that none of them saw; what needs
no training is measured on the shipped checkpoint. Run `python -m benchmarks.ablations`.
"""
