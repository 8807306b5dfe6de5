"""Looks at start whether the topics of all handlers and publishers are there; creates them on a broker of the desk."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from kafkaboot.errors import ClientError
from kafkaboot.topics.own import look_up_own
from kafkaboot.topics.settings import TopicSettings
from kafkaboot.topics.uses import await_known, missing_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import AdminPort, TopicInfo
    from kafkaboot.topics.uses import Action, TopicUse

log = logging.getLogger("kafkaboot.topics")


def look_up(
    admin: AdminPort,
    uses: Sequence[TopicUse],
    declared: Mapping[str, TopicSettings],
    action: Action,
    *,
    own: Action | None = None,
    single_broker: bool = False,
    timeout: float = 10.0,
) -> list[str]:
    """Look up every topic that is used; answers the names of those that were created.

    Args:
        admin: Asks the cluster.
        uses: Who needs which topic.
        declared: `kafkaboot.topics`. With `create`, these are created even where nobody uses them.
        action: What is done about a missing one.
        own: The same for topics of the house's own (`TopicUse.own`); default: `action`.
        single_broker: Whether the cluster cannot hold more than one copy.
        timeout: Seconds for the whole look.

    Raises:
        MissingTopicError: With `validate`, all that are missing, each with who needs it and what its name is near to.
        UnfitTopicError: A topic of the house's own has too few partitions, or may not be written to.
        ClientError: The cluster could not be asked, or refuses a topic.
    """
    deadline = time.monotonic() + timeout
    known = admin.topics(timeout)
    _refused(known, uses)
    owned = [use for use in uses if use.own]
    needed = dict.fromkeys(use.topic for use in uses if not use.pattern and not use.own)
    if action == "create":
        needed.update(dict.fromkeys(declared))
    missing = [name for name in needed if name not in known]
    for use in uses:
        if use.pattern and not any(re.match(use.topic, name) for name in {*known, *needed}):
            log.warning("no topic matches the pattern %s yet: %s (%s)", use.topic, use.by, use.where)
    if missing and action == "validate":
        raise missing_error(missing, uses, known)
    specs = [declared.get(name, TopicSettings()).spec(name, single_broker=single_broker) for name in missing]
    if specs:
        admin.create_topics(specs, max(deadline - time.monotonic(), 1.0))
        known = await_known(admin, missing, deadline)
    if owned:
        missing += look_up_own(admin, owned, known, declared, own or action, single_broker, deadline)
    return missing


def _refused(known: Mapping[str, TopicInfo], uses: Sequence[TopicUse]) -> None:
    for use in uses:
        info = known.get(use.topic)
        if info is not None and "AUTHORIZATION" in info.error:
            raise ClientError(
                f"topic {use.topic!r} may not be looked at ({info.error}): {use.by}",
                code=info.error,
                where=use.where,
                todo="grant this application's user Describe on the topic, "
                "or correct the credentials in kafkaboot.kafka.security",
            )
