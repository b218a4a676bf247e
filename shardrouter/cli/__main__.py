"""`python -m shardrouter.cli`: the command line without its console script."""

from shardrouter.cli import main

if __name__ == "__main__":
    main()
