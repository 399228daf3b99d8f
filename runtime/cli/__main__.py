"""`python -m runtime.cli`, which is how the supervisor starts its children."""

from runtime.cli import main

if __name__ == "__main__":
    main()
