"""`python -m vqgen` and the `vqgen` program."""

from vqgen.cli import main

if __name__ == "__main__":
    main()
