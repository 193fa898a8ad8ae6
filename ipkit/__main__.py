"""python -m ipkit."""

from ipkit.cli import main

if __name__ == "__main__":
    main()
