"""What `--metric` may say."""

import pytest

from edgett.errors import UsageError
from edgett.job.yardstick import Yardstick, parse_metric


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("accuracy", Yardstick(None, "accuracy")),
        ("r_squared:max", Yardstick(None, "r_squared", True)),
        ("my metric:min", Yardstick(None, "my metric", False)),
        ("mine:figure", Yardstick("mine", "figure", True)),
        ("a.b:figure:min", Yardstick("a.b", "figure", False)),
        ("sklearn.metrics:mean_absolute_error", Yardstick("sklearn.metrics", "mean_absolute_error", False)),
        ("mine:log_loss:max", Yardstick("mine", "log_loss", True)),
        ("mine:max:max", Yardstick("mine", "max", True)),
    ],
)
def test_a_name_or_a_function_with_its_direction(text: str, asked: Yardstick) -> None:
    assert parse_metric(text) == asked


@pytest.mark.parametrize("text", ["", ":", ":f", "m:", "a:b:c", "a:b:up", "a..b:f", "1a:f", ":max", "a:b:c:max"])
def test_nothing_else(text: str) -> None:
    with pytest.raises(UsageError, match="is no metric") as caught:
        parse_metric(text)
    assert "package.module:function" in caught.value.cure
