"""The command line. One file a command; a command's file, and what it needs, loads when it is called."""


def main() -> None:
    """The script `kafkaboot`."""
    from kafkaboot.cli.program import kafkaboot

    kafkaboot(prog_name="kafkaboot")
