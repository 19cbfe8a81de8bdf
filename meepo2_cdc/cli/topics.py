"""
`meepo2-cdc topics`: the data topics of a prefix and what they hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from meepo2_cdc.cli.options import settings_options

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from meepo2_cdc.config import Settings


@click.command(
    epilog="""\b
Example:
  meepo2-cdc topics --prefix meepo2
"""
)
@settings_options()
@click.option("--json", "in_json", is_flag=True, help="One JSON object a line.")
def topics(settings: Settings, in_json: bool) -> None:
    """
    List the data topics.

    Shown are the offsets that each partition holds, `to` itself not among them. They are no count of records:
    markers of transactions, aborted records and what was compacted away have offsets too.
    """
    from meepo2_cdc.cli.printing import aligned, as_json, print_lines
    from meepo2_cdc.kafka.clients import connect

    found = _described(connect(settings.kafka), settings)
    if in_json:
        print_lines(map(as_json, found))
        return
    rows = [
        (one["topic"], str(part["partition"]), str(part["from"]), str(part["to"]), one["cleanup_policy"])
        for one in found
        for part in one["partitions"]
    ]
    print_lines(aligned(("topic", "partition", "from", "to", "cleanup policy"), rows))


def _described(admin: AdminClient, settings: Settings) -> list[dict[str, Any]]:
    from meepo2_cdc.kafka.offsets import Partition, extents
    from meepo2_cdc.kafka.topics import TopicNames, partition_counts
    from meepo2_cdc.replay.selection import choose_topics

    counts = partition_counts(admin)
    template = settings.topics.template.replace("{prefix}", settings.prefix)
    chosen = choose_topics(
        counts, TopicNames(settings.prefix, settings.topics.template).is_data_topic, (), (), template
    )
    within = extents(admin, [Partition(topic, n) for topic in chosen for n in range(counts[topic])])
    policies = _cleanup_policies(admin, chosen)
    return [
        {
            "topic": topic,
            "cleanup_policy": policies[topic],
            "partitions": [
                {"partition": one.number, "from": extent.begin, "to": extent.end}
                for one, extent in within.items()
                if one.topic == topic
            ],
        }
        for topic in chosen
    ]


def _cleanup_policies(admin: AdminClient, topics: list[str]) -> dict[str, str]:
    # confluent_kafka.admin has both, but not in its hints
    from confluent_kafka.admin._config import ConfigResource
    from confluent_kafka.admin._resource import ResourceType

    from meepo2_cdc.kafka.clients import REQUEST_SECONDS

    asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    answers = admin.describe_configs(asked, request_timeout=REQUEST_SECONDS)
    return {resource.name: answer.result()["cleanup.policy"].value for resource, answer in answers.items()}
