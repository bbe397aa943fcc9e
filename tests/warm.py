"""Compiles the kernels once, before many processes want them at the same time."""

from tests.live.chaos.shop import fixed_model

if __name__ == "__main__":
    fixed_model()
