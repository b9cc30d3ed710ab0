"""``make test-real``: models that people use, judged by what they must know. The suite does not collect these tests."""
