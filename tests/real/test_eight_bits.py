"""Real models keep nearly all of what they know in 8 bits."""

import pytest

from tests.real import eight_bits

pytestmark = pytest.mark.timeout(900)


def test_a_decoder_loses_little() -> None:
    measured = eight_bits.decoder("smollm2")
    assert measured.perplexity < 1.06 * measured.exact_perplexity
    assert measured.agreement > 0.88


def test_an_encoder_loses_little() -> None:
    measured = eight_bits.encoder("minilm")
    assert measured.least_cosine > 0.99
    assert measured.nearest > 0.93
