"""Models of several inputs, of any element type, with the batch axis anywhere or nowhere."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader, TensorDataset

from natonnx.data import ArrayBatches, Batches, InputSpec, Parts, Preprocessing, Signature, load
from natonnx.errors import InputError
from tests.data.conftest import BYTE, FLOAT, INT, image_model, images, labels

Save = Callable[..., str]

TOKENS = InputSpec("ids", (None, None), INT)
MASK = InputSpec("mask", (None, None), INT)
STATE = InputSpec("state", (2, None, 3), FLOAT, batch_axis=1)
RATE = InputSpec("rate", (), INT, batch_axis=None)
SPEECH = Signature((InputSpec("wave", (None, 8), FLOAT), STATE, RATE), classes=3)

RNG = np.random.default_rng(0)
WAVE, HIDDEN = RNG.normal(size=(50, 8)).astype(np.float32), RNG.normal(size=(2, 50, 3)).astype(np.float32)
IDS = np.arange(50 * 5).reshape(50, 5)


def arrays(part: Batches | None) -> ArrayBatches:
    assert isinstance(part, ArrayBatches)
    return part


def refused(match: str, data: Any, signature: Signature, **options: Any) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load(data, signature, **options)
    assert "\n" not in str(caught.value)


def rows(part: ArrayBatches) -> list[int]:
    """Which samples a part has, by the first value of each in `WAVE`."""
    return [int(np.flatnonzero(WAVE[:, 0] == row[0])[0]) for row in part.inputs["wave"]]


def check_speech(parts: Parts) -> None:
    """Every sample keeps its wave, state and label together."""
    seen = []
    for part in map(arrays, (parts.train, parts.validation, parts.test)):
        chosen = rows(part)
        np.testing.assert_array_equal(part.inputs["wave"], WAVE[chosen])
        np.testing.assert_array_equal(part.inputs["state"], HIDDEN[:, chosen])
        assert part.inputs["rate"].dtype == np.int64
        assert part.inputs["rate"] == 16000
        assert part.targets is not None
        np.testing.assert_array_equal(part.targets, labels(50)[chosen])
        seen += chosen
    assert sorted(seen) == list(range(50))


def test_npz_keyed_by_input_names_is_divided_along_each_batch_axis(save: Save) -> None:
    spec = save(wave=WAVE, state=HIDDEN, rate=np.int32(16000), labels=labels(50), remark=np.zeros(3))
    parts = load(spec, SPEECH)
    check_speech(parts)
    assert [part.samples for part in map(arrays, (parts.train, parts.validation, parts.test))] == [30, 10, 10]
    assert parts.notes == (
        "not used: remark",
        "divided by chance within each class (seed 0): 60 % training, 20 % validation, 20 % test",
    )


@pytest.mark.parametrize("val", ["val", "validation"])
def test_npz_with_parts_of_each_input(save: Save, val: str) -> None:
    cuts = {"train": slice(30), val: slice(30, 40), "test": slice(40, 50)}
    named: dict[str, Any] = {f"{part}/wave": WAVE[cut] for part, cut in cuts.items()}
    named |= {f"{part}/state": HIDDEN[:, cut] for part, cut in cuts.items()}
    named |= {f"{part}/labels": labels(50)[cut] for part, cut in cuts.items()}
    parts = load(save(**named, rate=np.int64(16000)), SPEECH)
    check_speech(parts)
    assert rows(arrays(parts.validation)) == list(range(30, 40))
    assert parts.notes == ()
    without = {key: value for key, value in named.items() if not key.startswith(val)}
    assert arrays(load(save(**without, rate=np.int64(16000)), SPEECH).validation).samples == 6


def test_arrays_in_memory_are_taken_by_name_and_by_position() -> None:
    by_name = {"wave": WAVE, "state": HIDDEN, "rate": np.array(16000), "labels": labels(50)}
    by_position = (WAVE, HIDDEN, np.array(16000), labels(50))
    pair = ((WAVE, HIDDEN, np.array(16000)), labels(50))
    for data in (by_name, by_position, pair, ({k: v for k, v in by_name.items() if k != "labels"}, labels(50))):
        check_speech(load(data, SPEECH))
    unlabelled = load(by_position[:3], SPEECH)
    assert not unlabelled.train.has_targets
    few = "divided by chance (seed 0): 80 % training, 20 % validation; too few for a test as well"
    assert unlabelled.notes == (few,)


def test_a_loader_of_samples_in_front_is_moved_to_where_the_model_has_them() -> None:
    import torch

    samples = [{"wave": WAVE[i], "state": HIDDEN[:, i], "rate": 16000, "labels": int(labels(50)[i])} for i in range(50)]

    class Speech(torch.utils.data.Dataset[Any]):
        def __getitem__(self, index: int) -> Any:
            return samples[index]

        def __len__(self) -> int:
            return len(samples)

    check_speech(load(Speech(), SPEECH))
    check_speech(load(DataLoader(Speech(), batch_size=7), SPEECH))


def test_whole_numbers_are_cast_without_loss(save: Save) -> None:
    model = Signature((TOKENS, InputSpec("flag", (None,), np.dtype(np.bool_))))
    parts = load(save(ids=IDS.astype(np.uint16), flag=labels(50, 2)), model)
    train = arrays(parts.train)
    assert train.inputs["ids"].dtype == np.int64
    assert train.inputs["flag"].dtype == np.bool_
    chosen = train.inputs["ids"][:, 0] // 5
    np.testing.assert_array_equal(train.inputs["ids"], IDS[chosen])
    np.testing.assert_array_equal(train.inputs["flag"], labels(50, 2)[chosen].astype(bool))
    assert not parts.validation.has_targets


@pytest.mark.parametrize(
    ("array", "dtype", "match"),
    [
        (IDS * 1.0, INT, "'ids' is an array of float64, but the model takes int64: give whole numbers"),
        (IDS + 250, BYTE, "'ids' runs from 250 to .*, but the model takes uint8: give values it can hold"),
        (IDS - 250, BYTE, "runs from -250 to -1, but the model takes uint8"),
        (np.full((50, 5), 2**63, np.uint64), INT, "runs from .* but the model takes int64"),
        (IDS, np.dtype(bool), "but the model takes bool"),
        (np.full((50, 5), np.nan), FLOAT, "data: ids holds NaN, in sample 0"),
        (np.full((50, 5), 1e39), FLOAT, "'ids' holds values too large for float32"),
        (np.full((50, 5), "a"), INT, "ids is an array of <U1, not of numbers"),
        (IDS, np.dtype(object), "ids is an array of int64, not of text"),
        (IDS[:, 0], INT, r"'ids': samples are single numbers, but the model's input is \?: give it in the model's own"),
    ],
)
def test_what_cannot_be_cast_is_refused(array: Any, dtype: np.dtype[Any], match: str) -> None:
    model = Signature((InputSpec("ids", (None, None), dtype), InputSpec("more", (None, 1), FLOAT)))
    refused(match, {"ids": array, "more": np.zeros((50, 1))}, model)


def test_infinite_masks_half_precision_and_text_pass() -> None:
    half = np.dtype(np.float16)
    model = Signature(
        (
            InputSpec("bias", (None, 2), half),
            InputSpec("x", (None,), half),
            InputSpec("text", (None,), np.dtype(object)),
        )
    )
    bias = np.array([[0, -np.inf]] * 10, np.float32)
    parts = load({"bias": bias, "x": np.arange(10.0), "text": ["a"] * 10}, model)
    train = arrays(parts.train)
    assert train.inputs["bias"].dtype == train.inputs["x"].dtype == np.float16
    assert train.inputs["text"].tolist() == ["a"] * 8
    np.testing.assert_array_equal(train.inputs["bias"], bias[:8])


def test_missing_inputs_and_uneven_numbers_are_named(save: Save) -> None:
    model = Signature((TOKENS, MASK))
    refused("set.npz: has nothing for the model's input 'mask', but 'ids', 'x': name", save(ids=IDS, x=IDS), model)
    refused("the model's inputs 'ids', 'mask', but 'x_train'", save(x_train=IDS)[:0] or {"x_train": IDS}, model)
    refused("ids has 50 samples but mask has 49", save(ids=IDS, mask=IDS[:49]), model)
    refused("ids has 50 samples but labels has 3", save(ids=IDS, mask=IDS, labels=labels(3)), model)
    refused("yields 1 array, but the model has 2 inputs .ids, mask.", IDS, model)
    refused("has the keys 'val/ids', but nothing to train with", {"val/ids": IDS}, model)
    load({"ids": IDS, "mask": IDS, "labels": labels(3)}, model, targets="none")


def test_one_value_for_all_samples_must_be_one() -> None:
    model = Signature((InputSpec("x", (None, 5), INT), RATE))
    batches = [{"x": IDS, "rate": np.array(1)}, {"x": IDS, "rate": np.array(2)}]
    refused("rate: differs from sample to sample, but the model takes one value for all", batches, model)
    refused("'rate': is 1, but the model's input is single numbers", {"x": IDS, "rate": [1]}, model)
    only = Signature((RATE,))
    refused("no input of the model has a batch axis", np.array(3), only)


def test_preprocessing_is_for_the_one_floating_point_input() -> None:
    picture = InputSpec("picture", (None, 3, 4, 4), FLOAT)
    pixels = images(50, 4, 4, 3)
    half = Preprocessing(mean=(0.5,), std=(0.5,))
    train = arrays(load({"picture": pixels, "ids": IDS}, Signature((picture, TOKENS)), preprocessing=half).train)
    chosen = train.inputs["ids"][:, 0] // 5
    expected = (pixels[chosen].transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(train.inputs["picture"], expected, atol=1e-6)
    two = Signature((picture, InputSpec("other", (None, 3, 4, 4), FLOAT)))
    data = {"picture": pixels, "other": pixels}
    refused("mean, std given, but the model has 2 inputs of floating-point", data, two, preprocessing=half)
    refused("scale given, but the model has no inputs", IDS, Signature((TOKENS,)), preprocessing=Preprocessing(scale=2))
    scaled = arrays(load(data, two).train)
    np.testing.assert_array_equal(scaled.inputs["picture"], scaled.inputs["other"])
    assert 0.9 < scaled.inputs["other"].max() <= 1


def test_arrays_under_the_inputs_name_are_in_its_layout_unless_another_is_said() -> None:
    model, pixels = image_model(None, None, None), images(50, 3, 5, 4)
    as_given = arrays(load({"x": pixels}, model).train).inputs["x"]
    assert as_given.shape == (40, 3, 5, 4)
    said = arrays(load({"x": pixels}, model, preprocessing=Preprocessing(layout="NHWC")).train).inputs["x"]
    np.testing.assert_array_equal(said, as_given.transpose(0, 2, 3, 1))
    refused("more than one way: .*--layout", pixels, model)


def test_a_model_of_bytes_gets_the_raw_pixels(save: Save) -> None:
    pixels = images(50, 4, 4, 3)
    for shape, axes in (((3, 4, 4), (0, 3, 1, 2)), ((4, 4, 3), (0, 1, 2, 3))):
        train = arrays(load(save(images=pixels, labels=labels(50)), image_model(*shape, dtype=np.uint8)).train)
        assert train.inputs["x"].dtype == np.uint8
        raw = {image.tobytes() for image in np.ascontiguousarray(pixels.transpose(axes))}
        assert {np.ascontiguousarray(image).tobytes() for image in train.inputs["x"]} <= raw


def test_a_double_model_keeps_double_precision() -> None:
    x = RNG.normal(size=(50, 7))
    train = arrays(load(x, image_model(7, dtype=np.float64)).train)
    assert {row.tobytes() for row in train.inputs["x"]} <= {row.tobytes() for row in x}


@pytest.mark.parametrize(
    ("given", "targets", "expected"),
    [
        (labels(50), "labels", np.int64),
        (labels(50)[:, None], "labels", np.int64),
        (labels(50).astype(np.uint8), "any", np.uint8),
        (np.arange(50) / 7, "any", np.float64),
        (np.zeros((50, 4, 4)), "any", np.float64),
        (np.zeros((50, 4, 4), np.int32), "labels", np.int64),
        (np.arange(50), "none", None),
        (["a"] * 50, "none", None),
    ],
)
def test_labels_by_what_they_are_for(given: Any, targets: Any, expected: Any) -> None:
    parts = load((WAVE, given), image_model(8), targets=targets)
    for part in map(arrays, (parts.train, parts.validation)):
        assert (part.targets is None) == (expected is None)
        if part.targets is not None:
            assert part.targets.dtype == expected
            chosen = [int(np.flatnonzero(WAVE[:, 0] == row[0])[0]) for row in part.inputs["x"]]
            np.testing.assert_array_equal(part.targets, np.asarray(given)[chosen].reshape(part.targets.shape))


def test_a_set_is_divided_the_same_whatever_its_labels_are_for() -> None:
    one, other = (load((WAVE, labels(50)), image_model(8), targets=targets) for targets in ("labels", "none"))
    np.testing.assert_array_equal(arrays(one.test).inputs["x"], arrays(other.test).inputs["x"])
    assert other.notes[-1] == "labels are not used"


def test_labels_are_not_bound_by_an_unknown_number_of_classes() -> None:
    refused("labels runs from -1: class indices start at 0", (WAVE, labels(50) - 1), image_model(8, classes=None))
    assert load((WAVE, np.arange(50)), image_model(8, classes=None)).train.has_targets


def test_tensor_dataset_of_two_inputs() -> None:
    import torch

    data = TensorDataset(torch.from_numpy(IDS), torch.from_numpy(IDS + 1))
    train = arrays(load(data, Signature((TOKENS, MASK))).train)
    np.testing.assert_array_equal(train.inputs["mask"], train.inputs["ids"] + 1)


@pytest.mark.parametrize(
    ("made", "options", "said"),
    [
        (
            lambda x: x.astype(np.uint16) * 257,
            {},
            "uint16 images of 0 to 65,535 are taken as they are; --scale 1 says so",
        ),
        (lambda x: x.astype(np.int64), {}, "int64 images of 0 to 255 are taken as they are"),
        (lambda x: x.astype(np.float32), {}, "float32 images of 0 to 255 are taken as they are"),
        (lambda x: x, {}, r"uint8 images of 0 to 255 scaled by 1/255 .--scale says otherwise"),
        (lambda x: x // 255, {"mean": (0.5,)}, "uint8 images of 0 to 1 scaled by 1/255"),
        (lambda x: x, {"mean": (0.5,)}, None),
        (lambda x: x.astype(np.float32), {"mean": (127.0,)}, None),
        (lambda x: x.astype(np.float32) + 0.5, {}, None),
        (lambda x: x / 255, {}, None),
        (lambda x: x.astype(np.int16), {"scale": 1 / 255}, None),
    ],
)
def test_the_range_of_images_is_told_where_the_user_is_silent(made: Any, options: Any, said: str | None) -> None:
    raw = np.linspace(0, 255, 50 * 16).astype(np.uint8).reshape(50, 1, 4, 4)
    parts = load({"images": made(raw)}, image_model(1, 4, 4), preprocessing=Preprocessing(**options))
    told = [note for note in parts.notes if "as they are" in note or "scaled" in note]
    assert (re.match(said, told[0]) if said and told else told) if said else not told


def test_uint8_beside_other_inputs_is_told_too() -> None:
    signature = Signature((InputSpec("a", (None, 4, 4), FLOAT), InputSpec("b", (None, 2), FLOAT)))
    given = {"a": np.full((50, 4, 4), 9, np.uint8), "b": np.zeros((50, 2), np.float32)}
    notes = load(given, signature).notes
    assert "uint8 a of 9 to 9 scaled by 1/255 (float32 says otherwise)" in notes


def test_types_that_are_scaled_differently_do_not_mix() -> None:
    batches = [np.ones((10, 1, 4, 4), kind) for kind in (np.float32, np.uint8)]
    match = "inputs are partly uint8, which is scaled by 1/255, partly float32: give one type"
    refused(match, iter(batches), image_model(1, 4, 4))


def test_masked_values_are_refused() -> None:
    raw = np.ma.masked_array(np.ones((50, 8)), np.arange(400).reshape(50, 8) == 9)
    refused("inputs has masked values, which no model takes", (raw, labels(50)), image_model(8))


def test_labels_that_are_of_no_use_are_told() -> None:
    given = {"x": np.ones((50, 8), np.float32), "labels": labels(50) * 1.0}
    assert "not used: labels" in load(given, image_model(8), targets="none").notes
