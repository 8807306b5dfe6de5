from __future__ import annotations

import pytest

from kafkaboot.config import InvalidConfigurationError, is_secret_key, load, mask_within


@pytest.mark.parametrize(
    "key",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl_key_password",
        "sslKeyPassword",
        "api-key",
        "apiKey",
        "shop.api.key",
        "aws.secret-access-key",
        "client-secret",
        "github.token",
        "db.credentials.user",
        "sasl.jaas.config",
        "sasl.oauthbearer.config",
        "private_key",
        "DB_PASSWORD",
        "schema.registry.basic.auth.user.info",
    ],
)
def test_a_name_gives_a_secret_away(key):
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "key",
        "publishers.key",
        "partition-key",
        "monkey",
        "keep-order",
        "ssl.key.location",
        "tokens-per-second",
        "kafka.broker",
    ],
)
def test_a_name_that_is_about_no_secret_is_shown(key):
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://user:pass@host/x", "amqp://******@host/x"),
        ("https://ghp_token@host", "https://******@host"),
        ("postgres://u:p/w@host:5432/db", "postgres://******@host:5432/db"),
        ("a://u:p@h b://v:q@i", "a://******@h b://******@i"),
        ("host=x password=hunter2 user=y", "host=x password=****** user=y"),
        ("jdbc:x;sasl.password=hunter2;a=b", "jdbc:x;sasl.password=******;a=b"),
        ("http://h/p?api_key=abc&x=1", "http://h/p?api_key=******&x=1"),
        ("http://host:80/path", "http://host:80/path"),
        ("localhost:9092,other:9093", "localhost:9092,other:9093"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_a_form_gives_a_secret_away(text, shown):
    assert mask_within(text) == shown


def test_fifty_canaries_are_seen_nowhere(tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    lines = ["kafkaboot:", "  config: {import: 'configtree:secrets/'}", "  kafka:", "    properties:"]
    names = [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "api-key",
        "client_secret",
        "accessToken",
        "passphrase",
    ]
    lines += [f"      {name}: canary-{at}" for at, name in enumerate(names)]
    lines += ["shop:"]
    lines += [f"  url{at}: 'https://user:canary-{at}@host/'" for at in range(10, 18)]
    lines += [f"  dsn{at}: 'host=x password=canary-{at}'" for at in range(18, 24)]
    lines += ["  list: ['https://u:canary-24@h', {token: canary-25}]"]
    lines += ["  derived: 'pre-${DB_PASSWORD}'", "  from-tree: ${plain}", "  chained: ${shop.derived}"]
    lines += ["  credentials: {user: canary-26, deep: {er: canary-27}}"]
    (tmp_path / "application.yaml").write_text("\n".join(lines) + "\n")
    for at in range(28, 36):
        (secrets / f"file{at}").write_text(f"canary-{at}\n")
    (secrets / "plain").write_text("canary-36")
    (tmp_path / ".env").write_text("".join(f"KAFKABOOT_X{at}_TOKEN=canary-{at}\n" for at in range(37, 42)))
    environ = {f"KAFKABOOT_Y{at}_PASSWORD": f"canary-{at}" for at in range(42, 46)} | {"DB_PASSWORD": "canary-46"}
    overrides = [f"shop.s{at}.secret=canary-{at}" for at in range(47, 50)]
    found = load(directory=tmp_path, environ=environ, overrides=overrides)

    shown = [*found.entries(defaults=True), *found.explain("shop"), *found.explain("kafkaboot"), *found.sources]
    assert "canary" not in "\n".join(str(each) for each in found.entries())
    assert "canary" not in str([(each.key, each.value) for each in found.explain("shop")])
    assert "canary" not in str([str(each) for each in shown])
    assert found.get("shop.derived") == "pre-canary-46", "the negative control: the values are there"
    assert sum(each.masked for each in found.entries()) >= 44
    with pytest.raises(InvalidConfigurationError) as caught:
        found.check({})
    assert "canary" not in str(caught.value)
