"""Functions of the catalogs: which there are, of which types. What they answer says
`shardrouter.catalogs.functions`.

Each is a function of the router's own database, `pgc_` and its name, that a statement may call only
if the router runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nodes import values
from shardrouter import types
from shardrouter.signatures.signature import Function

__all__ = ["NAMES", "rows"]

_OF_CATALOG: Final = """
format_type(oid, integer) text
pg_get_expr(pg_node_tree, oid) text
pg_get_expr(pg_node_tree, oid, boolean) text
pg_get_constraintdef(oid) text
pg_get_constraintdef(oid, boolean) text
pg_get_indexdef(oid) text
pg_get_indexdef(oid, integer, boolean) text
pg_get_viewdef(oid) text
pg_get_viewdef(oid, boolean) text
pg_get_viewdef(text) text
pg_get_viewdef(text, boolean) text
pg_get_triggerdef(oid) text
pg_get_triggerdef(oid, boolean) text
pg_get_ruledef(oid) text
pg_get_ruledef(oid, boolean) text
pg_get_partkeydef(oid) text
pg_get_statisticsobjdef_columns(oid) text
pg_get_function_result(oid) text
pg_get_function_arguments(oid) text
pg_get_function_identity_arguments(oid) text
pg_get_functiondef(oid) text
pg_get_function_sqlbody(oid) text
pg_get_serial_sequence(text, text) text
pg_get_userbyid(oid) name
pg_table_is_visible(oid) boolean
pg_type_is_visible(oid) boolean
pg_function_is_visible(oid) boolean
pg_operator_is_visible(oid) boolean
pg_collation_is_visible(oid) boolean
pg_opclass_is_visible(oid) boolean
pg_opfamily_is_visible(oid) boolean
pg_conversion_is_visible(oid) boolean
pg_statistics_obj_is_visible(oid) boolean
pg_ts_config_is_visible(oid) boolean
pg_ts_dict_is_visible(oid) boolean
pg_ts_parser_is_visible(oid) boolean
pg_ts_template_is_visible(oid) boolean
pg_partition_ancestors(regclass) regclass
pg_relation_is_publishable(regclass) boolean
pg_relation_is_updatable(regclass, boolean) integer
pg_column_is_updatable(regclass, smallint, boolean) boolean
obj_description(oid, name) text
obj_description(oid) text
col_description(oid, integer) text
shobj_description(oid, name) text
has_table_privilege(text, text) boolean
has_table_privilege(oid, text) boolean
has_table_privilege(name, text, text) boolean
has_table_privilege(name, oid, text) boolean
has_column_privilege(oid, smallint, text) boolean
has_column_privilege(text, text, text) boolean
has_any_column_privilege(oid, text) boolean
has_any_column_privilege(text, text) boolean
has_sequence_privilege(oid, text) boolean
has_sequence_privilege(text, text) boolean
has_schema_privilege(oid, text) boolean
has_schema_privilege(text, text) boolean
has_schema_privilege(name, text, text) boolean
has_schema_privilege(name, oid, text) boolean
has_database_privilege(oid, text) boolean
has_database_privilege(text, text) boolean
has_database_privilege(name, text, text) boolean
has_function_privilege(oid, text) boolean
has_type_privilege(oid, text) boolean
has_tablespace_privilege(oid, text) boolean
has_tablespace_privilege(text, text) boolean
has_language_privilege(oid, text) boolean
pg_has_role(oid, text) boolean
pg_has_role(name, text) boolean
pg_has_role(name, name, text) boolean
pg_has_role(name, oid, text) boolean
row_security_active(oid) boolean
row_security_active(text) boolean
pg_relation_size(regclass) bigint
pg_relation_size(regclass, text) bigint
pg_total_relation_size(regclass) bigint
pg_table_size(regclass) bigint
pg_indexes_size(regclass) bigint
pg_database_size(oid) bigint
pg_database_size(name) bigint
pg_tablespace_size(oid) bigint
pg_tablespace_size(name) bigint
pg_tablespace_location(oid) text
pg_relation_filenode(regclass) oid
pg_sequence_parameters(oid) text
to_regclass(text) regclass
to_regtype(text) regtype
to_regnamespace(text) regnamespace
to_regrole(text) regrole
to_regproc(text) regproc
current_schema() name
current_schemas(boolean) name[]
"""

_OF_SESSION: Final = """
current_setting(text) text
current_setting(text, boolean) text
set_config(text, text, boolean) text
pg_encoding_to_char(integer) name
pg_char_to_encoding(name) integer
getdatabaseencoding() name
pg_client_encoding() name
pg_backend_pid() integer
pg_is_in_recovery() boolean
pg_is_wal_replay_paused() boolean
pg_my_temp_schema() oid
pg_is_other_temp_schema(oid) boolean
pg_size_pretty(bigint) text
pg_size_pretty(numeric) text
inet_client_addr() inet
inet_server_addr() inet
inet_client_port() integer
inet_server_port() integer
pg_jit_available() boolean
txid_current_if_assigned() bigint
pg_blocking_pids(integer) integer[]
"""


def rows() -> Iterator[Function]:
    for listed in (_OF_CATALOG, _OF_SESSION):
        for line in listed.strip().splitlines():
            name, _, rest = line.partition("(")
            inner, _, result = rest.partition(") ")
            arguments = tuple(types.of_column(kind) for kind in inner.split(", ") if kind)
            places = ", ".join(f"{{{i}}}" for i in range(len(arguments)))
            yield Function(
                name,
                arguments,
                types.of_column(result),
                f"pgc_{name}({places})",
                asks="session" if listed is _OF_SESSION else "cluster",
            )


NAMES: Final = (
    *sorted({row.name for row in rows()}),
    *(kind for kind in values.NAMED),
    *(f"text_{kind}" for kind in values.NAMED),
    *(f"texts_{kind}" for kind in values.NAMED),
)
"""What the router's database has to know by `pgc_` and this name: functions, and casts."""
