"""``python -m daemon`` is ``forewarn``."""

from daemon.cli.app import main

if __name__ == "__main__":
    main()
