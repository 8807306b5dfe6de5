"""`python -m kafkaboot`."""

from kafkaboot.cli import main

if __name__ == "__main__":
    main()
