"""The graph of OpenCV's SSD face detector, as `cv2.dnn` wants it beside the weights: nothing comes in, protobuf text
goes out.

The frozen `.pb` that OpenCV's people publish (ResNet-10, 300x300, quantised to 8 bits) holds the weights; priors and
the decoding of boxes stand in a second file. Its older copies pad the last two extra layers, which then give one box
more and boxes outside the picture; here they are unpadded, as the network was trained. The names are those in the
`.pb`.

    cv2.dnn.readNetFromTensorflow(weights_bytes, ssd_graph.text().encode())
"""

from __future__ import annotations

from collections.abc import Iterable

EPS = 1.001e-5  # of every batch norm
# name in the .pb, the layer it looks at, smallest and largest prior in pixels of 300, its stride, aspect ratios
HEADS = (
    ("conv4_3_norm", "conv4_3_norm/mul_1", 30, 60, 8, (2,)),
    ("fc7", "last_relu", 60, 111, 16, (2, 3)),
    ("conv6_2", "conv6_2_h/Relu", 111, 162, 32, (2, 3)),
    ("conv7_2", "conv7_2_h/Relu", 162, 213, 64, (2, 3)),
    ("conv8_2", "conv8_2_h/Relu", 213, 264, 100, (2,)),
    ("conv9_2", "conv9_2_h/Relu", 264, 315, 300, (2,)),
)


def text() -> str:
    """The whole graph in protobuf's text form (TensorFlow's GraphDef, with OpenCV's own PriorBox and
    DetectionOutput).
    """
    return "\n".join([*_backbone(), *_extras(), *_heads()]) + "\n"


def node(name: str, op: str, *inputs: str, **attributes: str) -> str:
    parts = [f'name: "{name}"', f'op: "{op}"', *(f'input: "{source}"' for source in inputs)]
    parts += [f'attr {{ key: "{key}" value {{ {value} }} }}' for key, value in attributes.items()]
    return f"node {{ {' '.join(parts)} }}"


def _tensor(kind: str, field: str, values: Iterable, *shape: int) -> str:
    dims = " ".join(f"dim {{ size: {size} }}" for size in shape)
    return f"tensor {{ dtype: {kind} tensor_shape {{ {dims} }} {' '.join(f'{field}: {value}' for value in values)} }}"


def _steps(*sizes: int) -> str:
    return f"list {{ {' '.join(f'i: {size}' for size in sizes)} }}"


def _conv(name: str, source: str, stride: int = 1, padding: str = "SAME", op: str = "Conv2D") -> str:
    return node(
        f"{name}/{op}",
        "Conv2D",
        source,
        f"{name}/weights",
        dilations=_steps(1, 1, 1, 1),
        padding=f's: "{padding}"',
        strides=_steps(1, stride, stride, 1),
    )


def _normed(norm: str, scale: str, source: str, relu: str, folded_into: str | None = None) -> list[str]:
    """Batch norm, scale and ReLU; of a norm whose scale the .pb has `folded_into` a convolution only its offset is
    left.
    """
    inputs = (
        (f"{folded_into}/Conv2D_bn_offset",)
        if folded_into
        else tuple(f"{norm}/{part}" for part in ("gamma", "beta", "mean", "std"))
    )
    first = (
        node(f"{norm}/FusedBatchNorm", "BiasAdd", source, *inputs)
        if folded_into
        else node(f"{norm}/FusedBatchNorm", "FusedBatchNorm", source, *inputs, epsilon=f"f: {EPS}")
    )
    return [first, *_scaled(scale, f"{norm}/FusedBatchNorm"), node(relu, "Relu", f"{scale}/BiasAdd")]


def _scaled(scale: str, source: str) -> list[str]:
    return [
        node(f"{scale}/Mul", "Mul", source, f"{scale}/mul"),
        node(f"{scale}/BiasAdd", "BiasAdd", f"{scale}/Mul", f"{scale}/add"),
    ]


def _padded(name: str, source: str, pixels: int) -> str:
    return node(name, "SpaceToBatchND", source, "block", f"pad_{pixels}")


def _backbone() -> list[str]:
    """Input to `last_relu`: a ResNet of four blocks, batch norm before activation."""
    nodes = [
        node("data", "Placeholder", dtype="type: DT_FLOAT"),
        node("block", "Const", value=_tensor("DT_INT32", "int_val", (1, 1), 2)),
        *(
            node(f"pad_{pixels}", "Const", value=_tensor("DT_INT32", "int_val", [pixels] * 4, 2, 2))
            for pixels in (1, 3)
        ),
        node(
            "data_bn/FusedBatchNorm",
            "FusedBatchNorm",
            "data:0",
            *(f"data_bn/{part}" for part in ("gamma", "beta", "mean", "std")),
            epsilon=f"f: {EPS}",
        ),
        *_scaled("data_scale", "data_bn/FusedBatchNorm"),
        _padded("stem_pad", "data_scale/BiasAdd", 3),
        _conv("conv1_h", "stem_pad", 2, "VALID"),
        node("conv1_h/BiasAdd", "BiasAdd", "conv1_h/Conv2D", "conv1_h/bias"),
        node("stem", "BatchToSpaceND", "conv1_h/BiasAdd"),
        *_normed("conv1_bn_h", "conv1_scale_h", "stem", "stem_relu"),
        node("pool", "MaxPool", "stem_relu", ksize=_steps(1, 3, 3, 1), padding='s: "SAME"', strides=_steps(1, 2, 2, 1)),
        _conv("layer_64_1_conv1_h", "pool"),
        *_normed(
            "layer_64_1_bn2_h", "layer_64_1_scale2_h", "layer_64_1_conv1_h/Conv2D", "relu_64", "layer_64_1_conv1_h"
        ),
        _conv("layer_64_1_conv2_h", "relu_64"),
        node("add_64", "Add", "layer_64_1_conv2_h/Conv2D", "pool"),
    ]
    nodes += _normed("layer_128_1_bn1_h", "layer_128_1_scale1_h", "add_64", "relu_128")
    nodes += [_conv("layer_128_1_conv_expand_h", "relu_128", 2), _conv("layer_128_1_conv1_h", "relu_128", 2)]
    nodes += _normed(
        "layer_128_1_bn2", "layer_128_1_scale2", "layer_128_1_conv1_h/Conv2D", "relu_128_2", "layer_128_1_conv1_h"
    )
    nodes += [
        _conv("layer_128_1_conv2", "relu_128_2"),
        node("add_128", "Add", "layer_128_1_conv2/Conv2D", "layer_128_1_conv_expand_h/Conv2D"),
    ]
    nodes += _normed("layer_256_1_bn1", "layer_256_1_scale1", "add_128", "relu_256")
    nodes += [
        _conv("layer_256_1_conv_expand", "relu_256", 2),
        _padded("pad_256", "relu_256", 1),
        _conv("layer_256_1_conv1", "pad_256", 2, "VALID"),
    ]
    nodes.append(
        node(
            "layer_256_1_bn2/FusedBatchNorm",
            "BiasAdd",
            "layer_256_1_conv1/Conv2D",
            "layer_256_1_conv1/Conv2D_bn_offset",
        )
    )
    nodes += [
        node("unpad_256", "BatchToSpaceND", "layer_256_1_bn2/FusedBatchNorm"),
        *_scaled("layer_256_1_scale2", "unpad_256"),
    ]
    nodes += [node("relu_256_2", "Relu", "layer_256_1_scale2/BiasAdd"), _conv("layer_256_1_conv2", "relu_256_2")]
    nodes.append(node("add_256", "Add", "layer_256_1_conv2/Conv2D", "layer_256_1_conv_expand/Conv2D"))
    nodes += _normed("layer_512_1_bn1", "layer_512_1_scale1", "add_256", "relu_512")
    nodes += [_conv("layer_512_1_conv_expand_h", "relu_512"), _conv("layer_512_1_conv1_h", "relu_512")]
    nodes += _normed(
        "layer_512_1_bn2_h", "layer_512_1_scale2_h", "layer_512_1_conv1_h/Conv2D", "relu_512_2", "layer_512_1_conv1_h"
    )
    dilated = "layer_512_1_conv2_h/convolution"  # its block shape and pads stand in the .pb
    nodes.append(
        node(
            f"{dilated}/SpaceToBatchND",
            "SpaceToBatchND",
            "relu_512_2",
            f"{dilated}/SpaceToBatchND/block_shape",
            f"{dilated}/SpaceToBatchND/paddings",
        )
    )
    nodes.append(_conv("layer_512_1_conv2_h", f"{dilated}/SpaceToBatchND", 1, "VALID", "convolution"))
    nodes.append(
        node(
            f"{dilated}/BatchToSpaceND",
            "BatchToSpaceND",
            dilated,
            f"{dilated}/BatchToSpaceND/block_shape",
            f"{dilated}/BatchToSpaceND/crops",
        )
    )
    nodes.append(node("add_512", "Add", f"{dilated}/BatchToSpaceND", "layer_512_1_conv_expand_h/Conv2D"))
    return nodes + _normed("last_bn_h", "last_scale_h", "add_512", "last_relu")


def _extras() -> list[str]:
    """conv6 to conv9: 1x1, then 3x3; the last two without padding."""
    nodes, source = [], "last_relu"
    for number, stride, padding in ((6, 2, "SAME"), (7, 2, "VALID"), (8, 1, "VALID"), (9, 1, "VALID")):
        narrow, wide = f"conv{number}_1_h", f"conv{number}_2_h"
        nodes += [
            _conv(narrow, source),
            node(f"{narrow}/BiasAdd", "BiasAdd", f"{narrow}/Conv2D", f"{narrow}/bias"),
            node(f"{narrow}/Relu", "Relu", f"{narrow}/BiasAdd"),
        ]
        source = f"{narrow}/Relu"
        if number == 7:
            nodes.append(_padded("pad_7", source, 1))
            source = "pad_7"
        nodes += [
            _conv(wide, source, stride, padding),
            node(f"{wide}/BiasAdd", "BiasAdd", f"{wide}/Conv2D", f"{wide}/bias"),
        ]
        source = f"{wide}/BiasAdd"
        if number == 7:
            nodes.append(node("unpad_7", "BatchToSpaceND", source))
            source = "unpad_7"
        nodes.append(node(f"{wide}/Relu", "Relu", source))
        source = f"{wide}/Relu"
    return nodes


def _heads() -> list[str]:
    """Boxes, scores and priors of six layers, put together and decoded."""
    nodes = [
        node(
            "conv4_3_norm/l2_normalize", "L2Normalize", "relu_256:0", "conv4_3_norm/l2_normalize/Sum/reduction_indices"
        ),
        node("conv4_3_norm/mul_1", "Mul", "conv4_3_norm/l2_normalize", "conv4_3_norm/mul"),
    ]
    for name, source, *_ in HEADS:
        for what in ("loc", "conf"):
            head = f"{name}_mbox_{what}"
            nodes += [
                _conv(head, source),
                node(f"{head}/BiasAdd", "BiasAdd", f"{head}/Conv2D", f"{head}/bias"),
                node(f"{head}/flat", "Flatten", f"{head}/BiasAdd"),
            ]
    nodes += [
        node(f"mbox_{what}", "ConcatV2", *(f"{name}_mbox_{what}/flat" for name, *_ in HEADS), f"mbox_{what}/axis")
        for what in ("loc", "conf")
    ]
    nodes += [
        node("two_columns", "Const", value=_tensor("DT_INT32", "int_val", (0, -1, 2), 3)),
        node("mbox_conf_rows", "Reshape", "mbox_conf", "two_columns"),
        node("mbox_conf_softmax", "Softmax", "mbox_conf_rows", axis="i: 2"),
        node("mbox_conf_flatten", "Flatten", "mbox_conf_softmax"),
    ]
    for name, source, smallest, largest, stride, ratios in HEADS:
        nodes.append(
            node(
                f"{name}_priors",
                "PriorBox",
                source,
                "data",
                min_size=f"i: {smallest}",
                max_size=f"i: {largest}",
                step=f"f: {stride}.0",
                offset="f: 0.5",
                flip="b: true",
                clip="b: false",
                aspect_ratio=_tensor("DT_FLOAT", "float_val", (f"{ratio}.0" for ratio in ratios), len(ratios)),
                variance=_tensor("DT_FLOAT", "float_val", (0.1, 0.1, 0.2, 0.2), 4),
            )
        )
    nodes.append(node("mbox_priorbox", "ConcatV2", *(f"{name}_priors" for name, *_ in HEADS), "mbox_loc/axis"))
    nodes.append(
        node(
            "detection_out",
            "DetectionOutput",
            "mbox_loc",
            "mbox_conf_flatten",
            "mbox_priorbox",
            num_classes="i: 2",
            share_location="b: true",
            background_label_id="i: 0",
            nms_threshold="f: 0.45",
            top_k="i: 400",
            keep_top_k="i: 200",
            confidence_threshold="f: 0.01",
            code_type='s: "CENTER_SIZE"',
        )
    )
    return nodes
