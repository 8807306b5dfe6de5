import pytest

pytest.register_assert_rewrite("kafkaboot.testing.contract")
