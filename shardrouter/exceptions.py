"""What a statement can fail with, under the names of `asyncpg.exceptions`.

    try:
        await db.execute("INSERT INTO accounts VALUES (1, 'Ada')")
    except UniqueViolationError:
        ...

Every error of the router whose SQLSTATE is listed here is an instance of the class beside it, and
of `shardrouter.errors`' tree as well: `.sqlstate`, `.definite`, `.hint` are there whatever the
class. A class that is a whole kind of errors (`DataError`, SQLSTATE 22000) catches all of that
kind.
"""

from __future__ import annotations

from shardrouter.errors import (
    DeadlineExceeded,
    NotSupported,
    OutcomeUnknown,
    StatementError,
    Unavailable,
)

__all__ = [
    "CardinalityViolationError",
    "DataError",
    "StringDataRightTruncationError",
    "NumericValueOutOfRangeError",
    "NullValueNotAllowedError",
    "InvalidDatetimeFormatError",
    "DatetimeFieldOverflowError",
    "DivisionByZeroError",
    "InvalidRegularExpressionError",
    "InvalidRowCountInLimitClauseError",
    "InvalidRowCountInResultOffsetClauseError",
    "CharacterNotInRepertoireError",
    "InvalidParameterValueError",
    "InvalidEscapeSequenceError",
    "ArraySubscriptError",
    "InvalidTextRepresentationError",
    "InvalidBinaryRepresentationError",
    "BadCopyFileFormatError",
    "UntranslatableCharacterError",
    "IntegrityConstraintViolationError",
    "NotNullViolationError",
    "ForeignKeyViolationError",
    "UniqueViolationError",
    "CheckViolationError",
    "InvalidTransactionStateError",
    "ActiveSQLTransactionError",
    "ReadOnlySQLTransactionError",
    "NoActiveSQLTransactionError",
    "InFailedSQLTransactionError",
    "IdleInTransactionSessionTimeoutError",
    "InvalidSQLStatementNameError",
    "InvalidAuthorizationSpecificationError",
    "InvalidPasswordError",
    "DependentObjectsStillExistError",
    "InvalidTransactionTerminationError",
    "InvalidCursorNameError",
    "InvalidSavepointSpecificationError",
    "InvalidCatalogNameError",
    "InvalidSchemaNameError",
    "TransactionRollbackError",
    "SerializationError",
    "DeadlockDetectedError",
    "SyntaxOrAccessError",
    "InsufficientPrivilegeError",
    "PostgresSyntaxError",
    "InvalidNameError",
    "InvalidColumnDefinitionError",
    "NameTooLongError",
    "DuplicateColumnError",
    "AmbiguousAliasError",
    "AmbiguousColumnError",
    "UndefinedColumnError",
    "UndefinedObjectError",
    "DuplicateObjectError",
    "DuplicateAliasError",
    "AmbiguousFunctionError",
    "GroupingError",
    "DatatypeMismatchError",
    "WrongObjectTypeError",
    "InvalidForeignKeyError",
    "CannotCoerceError",
    "UndefinedFunctionError",
    "GeneratedAlwaysError",
    "ReservedNameError",
    "UndefinedTableError",
    "UndefinedParameterError",
    "DuplicateCursorError",
    "DuplicatePreparedStatementError",
    "DuplicateSchemaError",
    "DuplicateTableError",
    "AmbiguousParameterError",
    "InvalidColumnReferenceError",
    "InvalidTableDefinitionError",
    "InvalidObjectDefinitionError",
    "IndeterminateDatatypeError",
    "InvalidRecursionError",
    "WindowingError",
    "IndeterminateCollationError",
    "InsufficientResourcesError",
    "DiskFullError",
    "OutOfMemoryError",
    "ConfigurationLimitExceededError",
    "ProgramLimitExceededError",
    "StatementTooComplexError",
    "TooManyColumnsError",
    "TooManyArgumentsError",
    "ObjectNotInPrerequisiteStateError",
    "ObjectInUseError",
    "CantChangeRuntimeParamError",
    "LockNotAvailableError",
    "SnapshotTooOldError",
    "InternalServerError",
    "DataCorruptedError",
    "InvalidTimeZoneDisplacementValueError",
    "SequenceGeneratorLimitExceededError",
    "SubstringError",
    "InvalidArgumentForNtileFunctionError",
    "IntervalFieldOverflowError",
    "InvalidArgumentForNthValueFunctionError",
    "InvalidArgumentForPowerFunctionError",
    "IdleSessionTimeoutError",
    "FeatureNotSupportedError",
    "QueryCanceledError",
    "TransactionResolutionUnknownError",
    "CannotConnectNowError",
]

FeatureNotSupportedError = NotSupported
QueryCanceledError = DeadlineExceeded
TransactionResolutionUnknownError = OutcomeUnknown
CannotConnectNowError = Unavailable


class CardinalityViolationError(StatementError):
    sqlstate = "21000"


class DataError(StatementError):
    sqlstate = "22000"


class IntegrityConstraintViolationError(StatementError):
    sqlstate = "23000"


class InvalidTransactionStateError(StatementError):
    sqlstate = "25000"


class InvalidSQLStatementNameError(StatementError):
    sqlstate = "26000"


class InvalidAuthorizationSpecificationError(StatementError):
    sqlstate = "28000"


class DependentObjectsStillExistError(StatementError):
    sqlstate = "2BP01"


class InvalidTransactionTerminationError(StatementError):
    sqlstate = "2D000"


class InvalidCursorNameError(StatementError):
    sqlstate = "34000"


class InvalidSavepointSpecificationError(StatementError):
    sqlstate = "3B001"


class InvalidCatalogNameError(StatementError):
    sqlstate = "3D000"


class InvalidSchemaNameError(StatementError):
    sqlstate = "3F000"


class TransactionRollbackError(StatementError):
    sqlstate = "40000"


class SyntaxOrAccessError(StatementError):
    sqlstate = "42000"


class InsufficientResourcesError(StatementError):
    sqlstate = "53000"


class ProgramLimitExceededError(StatementError):
    sqlstate = "54000"


class ObjectNotInPrerequisiteStateError(StatementError):
    sqlstate = "55000"


class SnapshotTooOldError(StatementError):
    sqlstate = "72000"


class InternalServerError(StatementError):
    sqlstate = "XX000"


class StringDataRightTruncationError(DataError):
    sqlstate = "22001"


class NumericValueOutOfRangeError(DataError):
    sqlstate = "22003"


class NullValueNotAllowedError(DataError):
    sqlstate = "22004"


class InvalidDatetimeFormatError(DataError):
    sqlstate = "22007"


class DatetimeFieldOverflowError(DataError):
    sqlstate = "22008"


class DivisionByZeroError(DataError):
    sqlstate = "22012"


class InvalidRegularExpressionError(DataError):
    sqlstate = "2201B"


class InvalidRowCountInLimitClauseError(DataError):
    sqlstate = "2201W"


class InvalidRowCountInResultOffsetClauseError(DataError):
    sqlstate = "2201X"


class CharacterNotInRepertoireError(DataError):
    sqlstate = "22021"


class InvalidParameterValueError(DataError):
    sqlstate = "22023"


class InvalidEscapeSequenceError(DataError):
    sqlstate = "22025"


class ArraySubscriptError(DataError):
    sqlstate = "2202E"


class InvalidTextRepresentationError(DataError):
    sqlstate = "22P02"


class InvalidBinaryRepresentationError(DataError):
    sqlstate = "22P03"


class BadCopyFileFormatError(DataError):
    sqlstate = "22P04"


class UntranslatableCharacterError(DataError):
    sqlstate = "22P05"


class NotNullViolationError(IntegrityConstraintViolationError):
    sqlstate = "23502"


class ForeignKeyViolationError(IntegrityConstraintViolationError):
    sqlstate = "23503"


class UniqueViolationError(IntegrityConstraintViolationError):
    sqlstate = "23505"


class CheckViolationError(IntegrityConstraintViolationError):
    sqlstate = "23514"


class ActiveSQLTransactionError(InvalidTransactionStateError):
    sqlstate = "25001"


class ReadOnlySQLTransactionError(InvalidTransactionStateError):
    sqlstate = "25006"


class NoActiveSQLTransactionError(InvalidTransactionStateError):
    sqlstate = "25P01"


class InFailedSQLTransactionError(InvalidTransactionStateError):
    sqlstate = "25P02"


class IdleInTransactionSessionTimeoutError(InvalidTransactionStateError):
    sqlstate = "25P03"


class InvalidPasswordError(InvalidAuthorizationSpecificationError):
    sqlstate = "28P01"


class SerializationError(TransactionRollbackError):
    sqlstate = "40001"


class DeadlockDetectedError(TransactionRollbackError):
    sqlstate = "40P01"


class InsufficientPrivilegeError(SyntaxOrAccessError):
    sqlstate = "42501"


class PostgresSyntaxError(SyntaxOrAccessError):
    sqlstate = "42601"


class InvalidNameError(SyntaxOrAccessError):
    sqlstate = "42602"


class InvalidColumnDefinitionError(SyntaxOrAccessError):
    sqlstate = "42611"


class NameTooLongError(SyntaxOrAccessError):
    sqlstate = "42622"


class DuplicateColumnError(SyntaxOrAccessError):
    sqlstate = "42701"


class AmbiguousColumnError(SyntaxOrAccessError):
    sqlstate = "42702"


class UndefinedColumnError(SyntaxOrAccessError):
    sqlstate = "42703"


class UndefinedObjectError(SyntaxOrAccessError):
    sqlstate = "42704"


class DuplicateObjectError(SyntaxOrAccessError):
    sqlstate = "42710"


class DuplicateAliasError(SyntaxOrAccessError):
    sqlstate = "42712"


class AmbiguousFunctionError(SyntaxOrAccessError):
    sqlstate = "42725"


class GroupingError(SyntaxOrAccessError):
    sqlstate = "42803"


class DatatypeMismatchError(SyntaxOrAccessError):
    sqlstate = "42804"


class WrongObjectTypeError(SyntaxOrAccessError):
    sqlstate = "42809"


class InvalidForeignKeyError(SyntaxOrAccessError):
    sqlstate = "42830"


class CannotCoerceError(SyntaxOrAccessError):
    sqlstate = "42846"


class UndefinedFunctionError(SyntaxOrAccessError):
    sqlstate = "42883"


class GeneratedAlwaysError(SyntaxOrAccessError):
    sqlstate = "428C9"


class ReservedNameError(SyntaxOrAccessError):
    sqlstate = "42939"


class AmbiguousAliasError(SyntaxOrAccessError):
    sqlstate = "42P09"


class UndefinedTableError(SyntaxOrAccessError):
    sqlstate = "42P01"


class UndefinedParameterError(SyntaxOrAccessError):
    sqlstate = "42P02"


class DuplicateCursorError(SyntaxOrAccessError):
    sqlstate = "42P03"


class DuplicatePreparedStatementError(SyntaxOrAccessError):
    sqlstate = "42P05"


class DuplicateSchemaError(SyntaxOrAccessError):
    sqlstate = "42P06"


class DuplicateTableError(SyntaxOrAccessError):
    sqlstate = "42P07"


class AmbiguousParameterError(SyntaxOrAccessError):
    sqlstate = "42P08"


class InvalidColumnReferenceError(SyntaxOrAccessError):
    sqlstate = "42P10"


class InvalidTableDefinitionError(SyntaxOrAccessError):
    sqlstate = "42P16"


class InvalidObjectDefinitionError(SyntaxOrAccessError):
    sqlstate = "42P17"


class IndeterminateDatatypeError(SyntaxOrAccessError):
    sqlstate = "42P18"


class InvalidRecursionError(SyntaxOrAccessError):
    sqlstate = "42P19"


class WindowingError(SyntaxOrAccessError):
    sqlstate = "42P20"


class IndeterminateCollationError(SyntaxOrAccessError):
    sqlstate = "42P22"


class DiskFullError(InsufficientResourcesError):
    sqlstate = "53100"


class OutOfMemoryError(InsufficientResourcesError):
    sqlstate = "53200"


class ConfigurationLimitExceededError(InsufficientResourcesError):
    sqlstate = "53400"


class StatementTooComplexError(ProgramLimitExceededError):
    sqlstate = "54001"


class TooManyColumnsError(ProgramLimitExceededError):
    sqlstate = "54011"


class TooManyArgumentsError(ProgramLimitExceededError):
    sqlstate = "54023"


class ObjectInUseError(ObjectNotInPrerequisiteStateError):
    sqlstate = "55006"


class CantChangeRuntimeParamError(ObjectNotInPrerequisiteStateError):
    sqlstate = "55P02"


class LockNotAvailableError(ObjectNotInPrerequisiteStateError):
    sqlstate = "55P03"


class DataCorruptedError(InternalServerError):
    sqlstate = "XX001"


class InvalidTimeZoneDisplacementValueError(DataError):
    sqlstate = "22009"


class SequenceGeneratorLimitExceededError(DataError):
    sqlstate = "2200H"


class SubstringError(DataError):
    sqlstate = "22011"


class InvalidArgumentForNtileFunctionError(DataError):
    sqlstate = "22014"


class IntervalFieldOverflowError(DataError):
    sqlstate = "22015"


class InvalidArgumentForNthValueFunctionError(DataError):
    sqlstate = "22016"


class InvalidArgumentForPowerFunctionError(DataError):
    sqlstate = "2201F"


class IdleSessionTimeoutError(StatementError):
    sqlstate = "57P05"
