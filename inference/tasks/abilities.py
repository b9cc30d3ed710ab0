"""What only some models of a task can do, as their descriptions tell it."""

PHRASE_TIMES = "phrase_times"
"""To say when each phrase of a recording begins and ends."""
WORD_TIMES = "word_times"
LANGUAGES = "languages"
"""To hear a language that the request names, and to translate what is said to English."""
