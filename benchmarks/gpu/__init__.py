"""Speed on one large GPU, at Wan2.1's true shapes with random weights.

Needs torch, transformers, diffusers and the repository, nothing else: machines with such a GPU
often have no way to install the rest.
"""
