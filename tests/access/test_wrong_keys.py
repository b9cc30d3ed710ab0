from inference.access.wrong_keys import MOST_ADDRESSES, MOST_WRONG, WINDOW_S, WrongKeys


def test_wrong_keys_are_counted_for_a_minute_from_the_first():
    wrong = WrongKeys()
    assert [wrong.count("a", second) for second in range(3)] == [1, 2, 3]
    assert wrong.count("b", 3) == 1
    assert wrong.count("a", WINDOW_S - 1) == 4
    assert wrong.count("a", WINDOW_S) == 1


def test_whoever_has_to_wait_is_told_how_long():
    wrong = WrongKeys()
    for _ in range(MOST_WRONG + 1):
        wrong.count("a", 100.0)
    error = wrong.refusal("a", 117.5)
    assert (error.status, error.retry_after_s) == (429, 43)
    assert error.message == "More than 20 wrong keys came from this address in a minute; try again in 43 s."


def test_the_number_of_addresses_is_bounded_and_the_oldest_goes():
    wrong = WrongKeys()
    for number in range(MOST_ADDRESSES + 100):
        assert wrong.count(str(number), number / 1e6) == 1
    assert len(wrong) == MOST_ADDRESSES
    assert wrong.count("99", 1.0) == 1
    assert wrong.count(str(MOST_ADDRESSES + 99), 1.0) == 2
