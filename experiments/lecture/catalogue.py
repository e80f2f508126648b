"""Which experiments there are, in the order of the slides. Imports nothing heavy: `twice lecture` alone is at once."""

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One experiment: its name on the command line, the slide it belongs to, and what it shows."""

    name: str
    heading: str
    english: str
    shows: str

    @property
    def module(self) -> str:
        """Where it is written."""
        return f"experiments.lecture.{self.name.replace('-', '_')}"


ENTRIES: Final = {
    entry.name: entry
    for entry in (
        Entry(
            "neuron",
            "神经元的运算",
            "what a neuron computes",
            "z = wᵀx + b, a = f(z), and the activation curves with their derivatives",
        ),
        Entry(
            "regularization",
            "正则项",
            "the penalty on large weights",
            "½λ‖W‖²: its gradient, ridge regression, ‖W‖ and the generalisation gap against λ",
        ),
        Entry(
            "learning-modes",
            "批量学习, 在线学习",
            "batch and online learning",
            "loss against epochs, updates, seconds; its noise; the data ten times over",
        ),
        Entry(
            "backprop",
            "BP 基本思想, BP 算法",
            "back-propagation",
            "one small network with all its numbers, five ways; what the gradient costs as width grows",
        ),
        Entry(
            "vanishing",
            "反向越深的隐层",
            "hidden layers deep in the backward pass",
            "gradient norms by depth: logistic, tanh, scaled tanh, ReLU; what scaling and initialisation change",
        ),
        Entry(
            "logic",
            "异或问题",
            "the XOR problem",
            "AND, OR, NOT by one unit; XOR impossible for one, exact with 2-2-1, learnt by BP",
        ),
        Entry(
            "standardization",
            "标准化输入",
            "standardised inputs",
            "remove the mean, decorrelate, equalise the covariance; condition number and epochs at each stage",
        ),
        Entry(
            "approximation",
            "通用逼近定理",
            "universal approximation",
            "sup error of sin, |x|, a step and a bump against hidden units, trained and constructed",
        ),
        Entry(
            "thinning",
            "多层感知机如何约简网络？",
            "how a multilayer perceptron is thinned",
            "dropout and shared weights against the full network: parameters, training and test error",
        ),
        Entry(
            "convolution",
            "卷积层, 输出尺度, 参数个数",
            "convolution, output size, parameter count",
            "full, local, shared connections; every example of the slides; the filter sliding",
        ),
        Entry(
            "subsampling",
            "子采样层",
            "sub-sampling",
            "sizes, zero parameters against LeNet-5's trainable ones, and shifts with and without it",
        ),
        Entry(
            "lenet5",
            "Case Study: LeNet-5",
            "case study: LeNet-5",
            "sizes and counts, the S2–C3 table as on the slide, a digit followed through all layers",
        ),
    )
}
