"""What the data type under test promises when nothing is concurrent. Standard library only."""

from jepsen_like.models.choice import ChoiceModel
from jepsen_like.models.collections import Counter, FifoQueue, GrowSet
from jepsen_like.models.locks import FencedLease, Mutex
from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State, call_of
from jepsen_like.models.register import CasRegister, Register
from jepsen_like.models.several import Bank, MultiRegister
from jepsen_like.models.text import Text

__all__ = [
    "ILLEGAL",
    "Call",
    "Illegal",
    "Model",
    "ChoiceModel",
    "State",
    "call_of",
    "Register",
    "CasRegister",
    "MultiRegister",
    "Text",
    "Counter",
    "GrowSet",
    "FifoQueue",
    "Mutex",
    "FencedLease",
    "Bank",
]
