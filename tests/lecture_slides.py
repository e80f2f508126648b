"""The headings of the lecture's two parts, 10.2 多层感知机 and 10.3 卷积网络, in the order of the slides.

The slides themselves are not here. Whoever has them as text, one heading per line as in Markdown, renews the list and
checks the phrases with

    python -m tests.lecture_slides FILE
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Slide(NamedTuple):
    """A heading of the slides: its level as printed, 0 for numbered or bold ones, and its text."""

    level: int
    text: str


HEADINGS = (
    Slide(1, "多层感知机"),
    Slide(2, "网络结构"),
    Slide(3, "神经元的运算"),
    Slide(3, "多层感知机"),
    Slide(3, "多层感知机的运算"),
    Slide(2, "问题描述"),
    Slide(3, "学习问题"),
    Slide(3, "批量学习 ( Batch Learning )"),
    Slide(3, "在线学习 ( Online Learning )"),
    Slide(2, "BP 基本思想"),
    Slide(3, "两个方向的信号流、两个方向的函数运算"),
    Slide(3, "数据前馈运算"),
    Slide(3, "梯度反馈运算"),
    Slide(3, "变量关系"),
    Slide(3, "局部梯度的迭代"),
    Slide(2, "附：BP 算法矩阵形式"),
    Slide(3, "“多元--向量” 的求导"),
    Slide(3, "激活函数”的求导"),
    Slide(2, "BP 基本思想"),
    Slide(3, "BP 算法矩阵迭代公式"),
    Slide(2, "BP 算法"),
    Slide(0, "问题"),
    Slide(3, "输出层参数的学习"),
    Slide(4, "(1) 局部梯度"),
    Slide(4, "(2) 参数梯度"),
    Slide(3, "隐层参数的学习"),
    Slide(3, "(3) 局部梯度反向传递"),
    Slide(3, "(4) 参数梯度"),
    Slide(3, "梯度迭代"),
    Slide(2, "BP 算法小结"),
    Slide(3, "流程概要"),
    Slide(0, "(1) 数据初始化"),
    Slide(0, "(2) Epoch 采样"),
    Slide(0, "(3) 前向计算"),
    Slide(0, "(4) 反向梯度计算"),
    Slide(0, "(5) 求参数梯度"),
    Slide(0, "(6) 迭代(2)-(5)"),
    Slide(2, "激活函数"),
    Slide(2, "异或问题"),
    Slide(0, "(a) “与”问题"),
    Slide(0, "(b) “或”问题"),
    Slide(0, "(c) “非”问题"),
    Slide(0, "(d) “异或”问题"),
    Slide(0, "(a) 网络结构"),
    Slide(0, "(b) 分类区域"),
    Slide(2, "改善性能的试探法"),
    Slide(3, "标准化输入"),
    Slide(2, "函数逼近"),
    Slide(3, "通用逼近定理"),
    Slide(1, "第十一章 神经网络与深度学习"),
    Slide(0, "14.1 概述"),
    Slide(0, "14.2 多层感知机"),
    Slide(0, "14.3 卷积网络"),
    Slide(0, "14.4 Recurrent 网络"),
    Slide(0, "14.5 深度学习"),
    Slide(1, "卷积网络"),
    Slide(2, "网络结构"),
    Slide(3, "多层感知机如何约简网络？"),
    Slide(2, "卷积层"),
    Slide(3, "一维卷积"),
    Slide(3, "二维卷积"),
    Slide(3, "卷积层的输出尺度"),
    Slide(3, "卷积层的参数个数"),
    Slide(3, "1 个 filter 的卷积过程"),
    Slide(3, "操作流程"),
    Slide(0, "Summary"),
    Slide(2, "子采样层"),
    Slide(3, "操作流程"),
    Slide(2, "典型实例"),
    Slide(3, "Case Study: LeNet-5"),
    Slide(1, "本讲参考文献"),
)

PHRASES = (
    "可以引入正则项",
    "激活函数（包括硬门限阈值函数）",
    "反向越深的隐层",
    "消除均值、去相关性以及协方差均衡",
    "卷积层具有局部连接和权重共享特点",
    "全连接",
    "填充设置",
    "S2-C3 层采用了连接表",
)
"""Words of the slides that are no headings, and that the code quotes."""


NUMBERED = re.compile(r"(?:- |\$\$|\*\*)?(\((?:\d|[a-z])\) [^:$}]+|\d+\.\d [^:*]+)")
BOLD = re.compile(r"\*\*([^*]+[:.])\*\*")


def headings(lecture: str) -> Iterator[Slide]:
    """Every heading of the slides, in their order; one that only repeats where the slides are is left out.

    Lines that begin with a number or letter are headings too, such as (1) or (a) or 14.3, and so are words in bold that
    begin a line and end in a colon or stop. Formulas in a heading are not.
    """
    path: tuple[Slide, ...] = ()
    for line in lecture.splitlines():
        if found := re.match(r"(#+) (.+)", line):
            slide = Slide(len(found[1]), plain(found[2]))
            above = tuple(one for one in path if 0 < one.level < slide.level)
        elif found := NUMBERED.match(line) or BOLD.match(line):
            slide = Slide(0, plain(found[1]))
            above = tuple(one for one in path if one.level)
        else:
            continue
        here = (*above, slide)
        if here != path[: len(here)]:
            path = here
            yield slide


def plain(heading: str) -> str:
    """A heading without its formula and what only surrounded it."""
    heading = re.sub(r"\\text\{|\$[^$]*\$", "", heading)
    return " ".join(re.sub(r"\(\s*(\)|$)", "", heading).split()).rstrip(" :.")


def main() -> None:
    """Print the headings as they stand above, and those phrases that the slides do not have."""
    lecture = Path(sys.argv[1]).read_text("utf-8")
    found = list(headings(lecture))
    for slide in found[found.index(Slide(1, "多层感知机")) :]:
        print(f'    Slide({slide.level}, "{slide.text}"),')
    for phrase in PHRASES:
        if phrase not in lecture:
            print(f"not on the slides: {phrase}")


if __name__ == "__main__":
    main()
