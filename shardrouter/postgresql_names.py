"""Names of PostgreSQL's functions, so that one that is missing here is not said not to exist."""

from __future__ import annotations

from typing import Final

__all__ = ["FUNCTIONS"]

FUNCTIONS: Final = frozenset(
    """
        abbrev abs acos acosd acosh age area array_agg array_append array_cat array_dims
        array_fill array_length array_lower array_ndims array_position array_positions
        array_prepend array_remove array_replace array_to_json array_to_string array_to_tsvector
        array_upper ascii asind asinh atan atan2 atan2d atand atanh avg bit_and bit_count
        bit_length bit_or bit_xor bool bool_and bool_or bound_box broadcast cardinality cbrt
        ceil ceiling center chr clock_timestamp col_description concat concat_ws convert
        convert_from convert_to corr cos cosd cosh cot cotd count covar_pop covar_samp cube
        cume_dist current_database current_query current_schema current_schemas current_setting
        current_user currval cursor_to_xml cursor_to_xmlschema database_to_xml
        database_to_xml_and_xmlschema database_to_xmlschema date date_bin date_part date_trunc
        datemultirange daterange int4multirange int4range int8multirange int8range numrange tsrange
        decode degrees dense_rank diagonal diameter div encode every exp extract
        factorial family first_value floor format format_type gcd gen_random_uuid
        generate_series generate_subscripts get_bit get_byte get_current_ts_config
        getdatabaseencoding grouping has_database_privilege has_schema_privilege
        has_table_privilege height host hostmask inet_client_addr inet_client_port
        inet_server_addr inet_server_port initcap interval is_normalized isclosed isempty
        isfinite ishorizontal isopen isparallel isperp isvertical json_agg json_array_elements
        json_array_elements_text json_array_length json_build_array json_build_object json_each
        json_each_text json_extract_path json_extract_path_text json_object json_object_agg
        json_object_keys json_populate_record json_populate_recordset json_strip_nulls
        json_to_record json_to_recordset json_to_tsvector json_typeof jsonb_agg
        jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
        jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg
        jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match
        jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz
        jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz
        jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax
        jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_to_tsvector jsonb_typeof
        justify_days justify_hours justify_interval lag last_value lastval lcm lead left length
        like ln log log10 loread lower lower_inc lower_inf lowrite lpad ltrim make_date
        make_interval make_time make_timestamp make_timestamptz makeaclitem masklen max md5 min
        min_scale mod mode money multirange netmask network nextval normalize now nth_value
        ntile num_nonnulls num_nulls numeric nummultirange numnode obj_description octet_length
        overlaps overlay parse_ident pclose percent_rank percentile_cont percentile_disc
        pg_advisory_lock pg_advisory_unlock pg_advisory_xact_lock pg_backend_pid
        pg_cancel_backend pg_column_size pg_current_wal_lsn pg_database_size pg_encoding_to_char
        pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_serial_sequence pg_get_viewdef
        pg_is_in_recovery pg_notify pg_postmaster_start_time pg_relation_size pg_size_pretty
        pg_sleep_for pg_sleep_until pg_table_is_visible pg_table_size pg_terminate_backend
        pg_total_relation_size pg_try_advisory_lock pg_typeof phraseto_tsquery pi
        plainto_tsquery popen position pow power query_to_xml query_to_xml_and_xmlschema
        query_to_xmlschema querytree quote_ident quote_literal quote_nullable radians radius
        random range_agg rank regclass regexp_count regexp_instr regexp_like regexp_match
        regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr
        regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
        regr_syy repeat replace reverse right rollup round row_number row_security_active
        row_to_json rpad rtrim satisfies_hash_partition scale schema_to_xml
        schema_to_xml_and_xmlschema schema_to_xmlschema session_user set_bit set_byte set_config
        set_masklen setseed setval sha224 sha256 sha384 sha512 shobj_description sign sin sind
        sinh slope split_part sqrt statement_timestamp stddev stddev_pop stddev_samp string_agg
        string_to_array string_to_table strip strpos substr substring sum table_to_xml
        table_to_xml_and_xmlschema table_to_xmlschema tan tand tanh text time timeofday timezone
        to_ascii to_char to_date to_hex to_json to_jsonb to_number to_regclass to_regcollation
        to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole
        to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp translate
        trim_array trim_scale trunc tsmultirange tstzmultirange tstzrange txid_current
        txid_current_if_assigned txid_current_snapshot txid_visible_in_snapshot unistr unnest
        upper upper_inc upper_inf var_pop var_samp varchar variance version websearch_to_tsquery
        width width_bucket xmlagg xpath xpath_exists
    """.split()  # noqa: SIM905 -- a list of names
)
"""What a statement may call in PostgreSQL 15 without a schema."""
