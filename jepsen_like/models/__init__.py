"""What the data type under test promises when nothing is concurrent. Standard library only."""

from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State, call_of
from jepsen_like.models.register import CasRegister, Register

__all__ = ["ILLEGAL", "Call", "Illegal", "Model", "State", "call_of", "CasRegister", "Register"]
