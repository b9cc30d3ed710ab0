"""Runs in all processes: the forms that one input of a task may have, one module per form.

In: a JSON value, or media, as a client sent it. Out: what workers get, or the sentence that says what is wrong with it.
"""

from inference.tasks.inputs.base import InputForm, Model
from inference.tasks.inputs.chat import ChatOrTextInput, is_chat, token_ids
from inference.tasks.inputs.decision import DecisionInput
from inference.tasks.inputs.document import DocumentInput
from inference.tasks.inputs.image_chat import ImageChatInput
from inference.tasks.inputs.media import MediaInput, MediaQuestionInput
from inference.tasks.inputs.pair import TextOrPairInput
from inference.tasks.inputs.question import QuestionInput
from inference.tasks.inputs.ranking import RankingInput
from inference.tasks.inputs.sentences import SentencesInput
from inference.tasks.inputs.table import TableInput
from inference.tasks.inputs.text import TextInput

__all__ = [
    "ChatOrTextInput",
    "DecisionInput",
    "DocumentInput",
    "ImageChatInput",
    "InputForm",
    "MediaInput",
    "MediaQuestionInput",
    "Model",
    "QuestionInput",
    "RankingInput",
    "SentencesInput",
    "TableInput",
    "TextInput",
    "TextOrPairInput",
    "is_chat",
    "token_ids",
]
