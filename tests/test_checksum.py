import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from tensorboard.summary.writer import record_writer

from experiments import tensorboard
from experiments.checksum import masked_crc32c


@pytest.mark.parametrize("size", [0, 1, 3, 8, 31, 32, 35, 1023, 1024, 1025, 1027, 2048, 5000])
def test_it_is_the_checksum_that_readers_expect(size):
    data = np.random.default_rng(size).bytes(size)
    assert masked_crc32c(data) == pywrap_tensorflow.masked_crc32c(data)


def test_the_published_check_value():
    # 0xE3069283: catalogue of parametrised CRC algorithms, CRC-32/ISCSI. Repeated, to be a long message.
    assert pywrap_tensorflow.crc32c(b"123456789") == 0xE3069283
    crc = pywrap_tensorflow.crc32c(b"123456789" * 400)
    assert masked_crc32c(b"123456789" * 400) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_every_record_is_written_with_it():
    assert tensorboard.record_writer.masked_crc32c is record_writer.masked_crc32c is masked_crc32c
