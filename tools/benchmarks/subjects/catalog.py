"""All subjects by name."""

from collections.abc import Mapping

from tools.benchmarks.subjects import detectors, faces, fashion, language, ocr, recurrent
from tools.benchmarks.subjects.subject import Subject

__all__ = ["SUBJECTS"]

_ANY = 100
"""Points that may be lost where none was found within 5 (detectors 10): the table shows what the search reaches."""
_BRANCH = ("--granularity", "branch")
_PICTURES = (
    *("--mean", ",".join(map(str, fashion.COLOR_MEAN))),
    *("--std", ",".join(map(str, fashion.COLOR_STD))),
)

_ALL = (
    Subject("ppocr-detector", "PP-OCRv4 text detector, on rendered pages of 128×128", ocr.detector, "agreement", _ANY),
    Subject("ppocr-recogniser", "PP-OCRv4 text recogniser, on rendered words", ocr.recogniser, "agreement", _ANY),
    Subject(
        "ppocr-orientation",
        "PP-OCR v2 orientation classifier (MobileNetV3-like), on rendered lines, upright or upside down",
        ocr.orientation_v2,
        "labels",
        3,
    ),
    Subject(
        "pplcnet-orientation",
        "PP-LCNet v5 orientation classifier, which declares a scalar output, on the same",
        ocr.orientation_v5,
        "labels",
        3,
    ),
    Subject(
        "bert",
        "BERT-like encoder (int64 tokens and mask, batch and length open), on functions to follow one to three times",
        language.bert,
        "labels",
        3,
        _BRANCH,
    ),
    Subject("vit", "vision transformer, on Fashion-MNIST", fashion.vit, "labels", 3, _BRANCH),
    Subject(
        "minilm",
        "MiniLM-like sentence encoder (three int64 inputs, normalised embedding), on the standard library's source",
        language.minilm,
        "agreement",
        5,
        _BRANCH,
    ),
    Subject("yolo", "YOLO-like detector with three scales, on drawn scenes", detectors.yolo, "agreement", _ANY),
    Subject(
        "yolo-nms",
        "the same with NonMaxSuppression in the graph, judged before it",
        detectors.yolo_nms,
        "agreement",
        _ANY,
    ),
    Subject(
        "iresnet-face",
        "iResNet-like face embedder with PReLU, on drawn faces that it never saw",
        faces.face_net,
        "agreement",
        5,
    ),
    Subject("crnn", "CRNN with an output [T, N, C], on rendered digits", recurrent.crnn, "agreement", 5),
    Subject(
        "lstm-state",
        "LSTM with state in and out ([2, N, 48]), on a stream of noise with a voice in it",
        recurrent.stream,
        "agreement",
        _ANY,
    ),
    Subject(
        "two-outputs", "residual network with two classifiers, on Fashion-MNIST", fashion.two_heads, "agreement", 5
    ),
    Subject(
        "efficientnet",
        "EfficientNet-like network, on a folder of pictures without labels",
        fashion.efficientnet,
        "agreement",
        _ANY,
        (),
        _PICTURES,
    ),
)

SUBJECTS: Mapping[str, Subject] = {subject.name: subject for subject in _ALL}
"""Every subject, in the order of the table."""
