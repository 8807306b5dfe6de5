"""`kafkaboot dlq`: the dead letters' workbench."""

from __future__ import annotations

import click

from kafkaboot.cli.lazy_group import Entry, LazyGroup, examples

SECTIONS = {
    "Look": {
        "list": Entry("kafkaboot.cli.dlq_list:list_", "letters by cause, with what has become of them"),
        "show": Entry("kafkaboot.cli.dlq_show:show", "one letter: why, where from, its value, its traceback"),
        "audit": Entry("kafkaboot.cli.dlq_audit:audit", "who did what with them, and when"),
        "jobs": Entry("kafkaboot.cli.dlq_audit:jobs", "redrives under way, and those that ended"),
    },
    "Do": {
        "replay": Entry("kafkaboot.cli.dlq_replay:replay", "send records again to where they came from"),
        "edit": Entry("kafkaboot.cli.dlq_edit:edit", "mend one record, and send it again"),
        "park": Entry("kafkaboot.cli.dlq_replay:park", "move letters aside"),
        "resolve": Entry("kafkaboot.cli.dlq_replay:resolve", "say that letters are settled; nothing is sent"),
        "purge": Entry("kafkaboot.cli.dlq_purge:purge", "delete letters that are done with"),
        "index": Entry("kafkaboot.cli.dlq_audit:index", "index letters that no kafkaboot application wrote"),
    },
}


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    short_help="dead letters: list, show, edit, replay, purge",
    epilog=examples(
        "kafkaboot dlq list orders.shop.dlt",
        "kafkaboot dlq show orders.shop.dlt 0@17",
        "kafkaboot dlq replay orders.shop.dlt --exception CardRefused --dry-run",
        "kafkaboot dlq replay orders.shop.dlt --exception CardRefused --rate 200",
    ),
)
def dlq() -> None:
    """Work on dead letters: records that a handler failed on for good, kept with the reason in a topic of their own."""
