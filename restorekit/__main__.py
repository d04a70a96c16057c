"""`python -m restorekit` is the command `restorekit`."""

from restorekit.cli.main import run

if __name__ == "__main__":
    run()
