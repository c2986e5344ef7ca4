"""Recipes: what ships is whole and commented, settings are checked, and what is written is read back."""

import pytest

from converters.errors import DataError, UsageError
from darknet_runner.builtin import recipe
from darknet_runner.builtin.recipe import Recipe


@pytest.mark.parametrize("name", recipe.names())
def test_what_ships_is_read_commented_and_written_back(name, tmp_path):
    found = recipe.load(name)
    assert found.name == name and found.about and recipe.path_of(name).read_text().startswith("#")
    (tmp_path / "again.toml").write_text(found.toml())
    assert recipe.load(str(tmp_path / "again.toml")) == found


def test_the_recipes_of_the_field_say_what_they_are_known_for():
    noise, cuts, plain = recipe.load("vgg-noise"), recipe.load("tencrop"), recipe.load("ssd-cnn")
    assert (noise.standardise, noise.noise, noise.optimizer, noise.learning_rate, noise.batch) == (
        True,
        0.01,
        "adam",
        1e-4,
        128,
    )
    assert (noise.monitor, noise.patience, noise.plateau_patience, noise.plateau_factor) == ("loss", 6, 4, 0.1)
    assert noise.dense_decay == 0.002, "Keras' l2(0.001) adds 0.002 w to the gradient"
    assert (cuts.size, cuts.crop_from, cuts.step_start, cuts.step_epochs, cuts.step_factor, cuts.clip_value) == (
        44,
        48,
        80,
        5,
        0.9,
        0.1,
    )
    assert (plain.rotate, plain.zoom, plain.flip, plain.patience, plain.learning_rate) == (
        25,
        (0.5, 1.5),
        True,
        10,
        1e-3,
    )
    assert recipe.load("darknet") == Recipe(name="darknet", about=recipe.load("darknet").about)


@pytest.mark.parametrize(
    "told, key, value",
    [
        ({"lr": "0.01"}, "learning_rate", 0.01),
        ({"brightness": "0.5,1.5"}, "brightness", (0.5, 1.5)),
        ({"zoom": "0.2"}, "zoom", (0.8, 1.2)),
        ({"flip": "true"}, "flip", True),
        ({"batch": "64"}, "batch", 64),
        ({"monitor": "none"}, "monitor", None),
        ({"freeze-until": "connected"}, "freeze_until", "connected"),
        ({"class-balance": "loss"}, "class_balance", "loss"),
    ],
)
def test_settings_are_told_as_text(told, key, value):
    assert getattr(Recipe().override(told), key) == value


@pytest.mark.parametrize(
    "told, words",
    [
        ({"learning_rte": "1"}, "learning_rate"),
        ({"lr": "fast"}, "a number"),
        ({"optimizer": "rmsprop"}, "sgd, adam, adamw"),
        ({"batch": "1.5"}, "whole"),
        ({"lr": "-1"}, "learning_rate"),
        ({"lr": "nan"}, "learning_rate"),
        ({"zoom": "1.2,0.8"}, "zoom"),
        ({"erase": "2"}, "erase"),
        ({"flip": "perhaps"}, "true or false"),
        ({"schedule": "cosine"}, "learning_rate"),
        ({"crop_from": "40", "size": "44"}, "smaller"),
        ({"ema": "1"}, "ema"),
        ({"brightness": "1,2,3"}, "two numbers"),
    ],
)
def test_what_makes_no_training_is_one_line(told, words):
    with pytest.raises(UsageError, match=words):
        Recipe().override(told)


@pytest.mark.parametrize(
    "text",
    [
        "learning_rate = 'x'",
        "unknown = 1",
        "[table]\na = 1",
        "batch = true",
        "zoom = [1]",
        "= 3",
        "epochs = 1979-05-27",
        "name = 3\nflip = 'maybe'",
    ],
)
def test_a_file_that_is_no_recipe_names_itself(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(DataError, match="mine.toml"):
        recipe.load(str(tmp_path / "mine.toml"))


def test_a_name_there_is_not():
    with pytest.raises(UsageError, match="tencrop"):
        recipe.load("tencorp")
    with pytest.raises(DataError, match="none.toml"):
        recipe.load("none.toml")


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400", "1e999", float("inf"), float("nan"), "9" * 400])
@pytest.mark.parametrize("key", ["epochs", "batch", "patience", "learning_rate", "decay", "clip", "zoom", "mixup"])
def test_a_number_that_is_none_is_refused_by_its_name(key, value):
    with pytest.raises(UsageError, match=f"{key} = "):
        Recipe().override({key: value})
