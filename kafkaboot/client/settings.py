"""`kafkaboot.kafka`: where the cluster is and how one is let in."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from kafkaboot.config import Properties, kebab
from kafkaboot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _protocol(value: object) -> object:
    return value.lower().replace("-", "_") if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _clear(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)


class SaslSettings(_Section):
    """`kafkaboot.kafka.security.sasl`."""

    mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"], BeforeValidator(_upper)
    ]
    username: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        named = self.username is not None and self.password is not None
        if (self.mechanism == "PLAIN" or self.mechanism.startswith("SCRAM")) and not named:
            raise ValueError(f"the mechanism {self.mechanism} needs a username and a password")
        return self


class SslSettings(_Section):
    """`kafkaboot.kafka.security.ssl`: paths of PEM files; the machine's authorities when `ca` is left out."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    key_password: SecretStr | None = None


class SecuritySettings(_Section):
    """`kafkaboot.kafka.security`: the same for every client that is made."""

    protocol: Annotated[Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], BeforeValidator(_protocol)] = (
        "plaintext"
    )
    sasl: SaslSettings | None = None
    ssl: SslSettings | None = None
    require: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sasl is not None and not self.protocol.startswith("sasl"):
            raise ValueError(f"sasl is given, and the protocol {self.protocol} does not use it: choose sasl_ssl")
        if self.ssl is not None and not self.protocol.endswith("ssl"):
            raise ValueError(f"ssl is given, and the protocol {self.protocol} does not use it: choose ssl or sasl_ssl")
        return self

    def properties(self) -> dict[str, str]:
        """The same in librdkafka's words, secrets in the clear: for a client's constructor and nowhere else."""
        found: dict[str, str | None] = {"security.protocol": self.protocol}
        if self.sasl is not None:
            found["sasl.mechanism"] = self.sasl.mechanism
            found["sasl.username"] = self.sasl.username
            found["sasl.password"] = _clear(self.sasl.password)
        if self.ssl is not None:
            found["ssl.ca.location"] = self.ssl.ca
            found["ssl.certificate.location"] = self.ssl.cert
            found["ssl.key.location"] = self.ssl.key
            found["ssl.key.password"] = _clear(self.ssl.key_password)
        return {key: value for key, value in found.items() if value is not None}


class KafkaSettings(_Section):
    """`kafkaboot.kafka`.

    Attributes:
        broker: Whose broker: one that is there already, or one that is started on this machine.
        bootstrap_servers: Where to begin; a list, or one text with commas. A started broker's address replaces it.
        client_id: How the broker's logs and quotas name this application; its own name when empty.
        security: Encryption and authentication.
        properties: Any librdkafka property, for every client. They win over everything above.
        topics: What is done at start about topics that handlers and publishers name: `create` the missing ones,
            `validate` that they exist, `off`, or `auto`: `create` on a started broker, `validate` on an external one.
            With `auto` the house's own topics, dead letters and retries, are created on any broker. Where one that
            exists is not as `kafkaboot.topics` says, `validate` refuses to start; the others only tell it.
    """

    broker: Literal["external", "local", "container", "embedded"] = "external"
    bootstrap_servers: Annotated[list[str], BeforeValidator(_split), Field(min_length=1)] = ["localhost:9092"]
    client_id: str = ""
    security: SecuritySettings = SecuritySettings()
    properties: Properties = Field(default_factory=dict, repr=False)
    topics: Literal["create", "validate", "off", "auto"] = "auto"

    def client_properties(self, bootstrap_servers: str | None = None, client_id: str = "") -> dict[str, Any]:
        """What every client is made with, secrets in the clear.

        Args:
            bootstrap_servers: The address of a started broker, in place of the configured one.
            client_id: Used when none is configured.
        """
        found: dict[str, Any] = {"bootstrap.servers": bootstrap_servers or ",".join(self.bootstrap_servers)}
        name = self.client_id or client_id
        if name:
            found["client.id"] = name
        return {**found, **self.security.properties(), **as_librdkafka(self.properties)}

    def transport_warning(self, profiles: Collection[str]) -> str:
        """What is to be warned of at start about an unencrypted way to the brokers; empty when there is nothing.

        Raises:
            ConfigurationError: `security.require` is on and the way is unencrypted.
        """
        effective = self.client_properties()
        protocol = str(effective["security.protocol"]).lower()
        servers = str(effective["bootstrap.servers"]).split(",")
        open_to = [server.strip() for server in servers if not is_loopback(server.strip())]
        if protocol.endswith("ssl") or self.broker != "external" or not open_to:
            return ""
        what = f"records travel unencrypted to {', '.join(open_to)} (security.protocol is {protocol})"
        if self.security.require:
            raise ConfigurationError(
                f"{what}, and kafkaboot.kafka.security.require is true",
                where="kafkaboot.kafka.security",
                todo="set kafkaboot.kafka.security.protocol to ssl or sasl_ssl",
            )
        if "prod" not in profiles:
            return ""
        return f"{what}; set kafkaboot.kafka.security.protocol to ssl or sasl_ssl"


def as_librdkafka(properties: Mapping[str, object]) -> dict[str, object]:
    """Values as librdkafka reads them: it takes `true` and `false`, not Python's spelling."""
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in properties.items()}


def is_loopback(server: str) -> bool:
    """Whether `host:port` (also `PROTOCOL://host:port`, `[::1]:9092`) is this machine itself."""
    host = server.rpartition("://")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
