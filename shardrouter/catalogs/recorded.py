"""What PostgreSQL 15 has built in.

Made by tests/testdata/postgresql/record_catalogs.py."""

from typing import Final

__all__ = ["RELATIONS", "TYPES"]

RELATIONS: Final = """
pg_catalog r 2600 pg_aggregate aggfnoid:regproc aggkind:char aggnumdirectargs:int2
aggtransfn:regproc aggfinalfn:regproc aggcombinefn:regproc aggserialfn:regproc
aggdeserialfn:regproc aggmtransfn:regproc aggminvtransfn:regproc aggmfinalfn:regproc
aggfinalextra:bool aggmfinalextra:bool aggfinalmodify:char aggmfinalmodify:char aggsortop:oid
aggtranstype:oid aggtransspace:int4 aggmtranstype:oid aggmtransspace:int4 agginitval:text
aggminitval:text

pg_catalog r 2601 pg_am oid:oid amname:name amhandler:regproc amtype:char

pg_catalog r 2602 pg_amop oid:oid amopfamily:oid amoplefttype:oid amoprighttype:oid
amopstrategy:int2 amoppurpose:char amopopr:oid amopmethod:oid amopsortfamily:oid

pg_catalog r 2603 pg_amproc oid:oid amprocfamily:oid amproclefttype:oid amprocrighttype:oid
amprocnum:int2 amproc:regproc

pg_catalog r 2604 pg_attrdef oid:oid adrelid:oid adnum:int2 adbin:pg_node_tree

pg_catalog r 1249 pg_attribute attrelid:oid attname:name atttypid:oid attstattarget:int4
attlen:int2 attnum:int2 attndims:int4 attcacheoff:int4 atttypmod:int4 attbyval:bool attalign:char
attstorage:char attcompression:char attnotnull:bool atthasdef:bool atthasmissing:bool
attidentity:char attgenerated:char attisdropped:bool attislocal:bool attinhcount:int4
attcollation:oid attacl:_aclitem attoptions:_text attfdwoptions:_text attmissingval:anyarray

pg_catalog r 1261 pg_auth_members roleid:oid member:oid grantor:oid admin_option:bool

pg_catalog r 1260 pg_authid oid:oid rolname:name rolsuper:bool rolinherit:bool rolcreaterole:bool
rolcreatedb:bool rolcanlogin:bool rolreplication:bool rolbypassrls:bool rolconnlimit:int4
rolpassword:text rolvaliduntil:timestamptz

pg_catalog v 12085 pg_available_extension_versions name:name version:text installed:bool
superuser:bool trusted:bool relocatable:bool schema:name requires:_name comment:text

pg_catalog v 12081 pg_available_extensions name:name default_version:text installed_version:text
comment:text

pg_catalog v 12138 pg_backend_memory_contexts name:text ident:text parent:text level:int4
total_bytes:int8 total_nblocks:int8 free_bytes:int8 free_chunks:int8 used_bytes:int8

pg_catalog r 2605 pg_cast oid:oid castsource:oid casttarget:oid castfunc:oid castcontext:char
castmethod:char

pg_catalog r 1259 pg_class oid:oid relname:name relnamespace:oid reltype:oid reloftype:oid
relowner:oid relam:oid relfilenode:oid reltablespace:oid relpages:int4 reltuples:float4
relallvisible:int4 reltoastrelid:oid relhasindex:bool relisshared:bool relpersistence:char
relkind:char relnatts:int2 relchecks:int2 relhasrules:bool relhastriggers:bool relhassubclass:bool
relrowsecurity:bool relforcerowsecurity:bool relispopulated:bool relreplident:char
relispartition:bool relrewrite:oid relfrozenxid:xid relminmxid:xid relacl:_aclitem
reloptions:_text relpartbound:pg_node_tree

pg_catalog r 3456 pg_collation oid:oid collname:name collnamespace:oid collowner:oid
collprovider:char collisdeterministic:bool collencoding:int4 collcollate:text collctype:text
colliculocale:text collversion:text

pg_catalog v 12130 pg_config name:text setting:text

pg_catalog r 2606 pg_constraint oid:oid conname:name connamespace:oid contype:char
condeferrable:bool condeferred:bool convalidated:bool conrelid:oid contypid:oid conindid:oid
conparentid:oid confrelid:oid confupdtype:char confdeltype:char confmatchtype:char conislocal:bool
coninhcount:int4 connoinherit:bool conkey:_int2 confkey:_int2 conpfeqop:_oid conppeqop:_oid
conffeqop:_oid confdelsetcols:_int2 conexclop:_oid conbin:pg_node_tree

pg_catalog r 2607 pg_conversion oid:oid conname:name connamespace:oid conowner:oid
conforencoding:int4 contoencoding:int4 conproc:regproc condefault:bool

pg_catalog v 12077 pg_cursors name:text statement:text is_holdable:bool is_binary:bool
is_scrollable:bool creation_time:timestamptz

pg_catalog r 1262 pg_database oid:oid datname:name datdba:oid encoding:int4 datlocprovider:char
datistemplate:bool datallowconn:bool datconnlimit:int4 datfrozenxid:xid datminmxid:xid
dattablespace:oid datcollate:text datctype:text daticulocale:text datcollversion:text
datacl:_aclitem

pg_catalog r 2964 pg_db_role_setting setdatabase:oid setrole:oid setconfig:_text

pg_catalog r 826 pg_default_acl oid:oid defaclrole:oid defaclnamespace:oid defaclobjtype:char
defaclacl:_aclitem

pg_catalog r 2608 pg_depend classid:oid objid:oid objsubid:int4 refclassid:oid refobjid:oid
refobjsubid:int4 deptype:char

pg_catalog r 2609 pg_description objoid:oid classoid:oid objsubid:int4 description:text

pg_catalog r 3501 pg_enum oid:oid enumtypid:oid enumsortorder:float4 enumlabel:name

pg_catalog r 3466 pg_event_trigger oid:oid evtname:name evtevent:name evtowner:oid evtfoid:oid
evtenabled:char evttags:_text

pg_catalog r 3079 pg_extension oid:oid extname:name extowner:oid extnamespace:oid
extrelocatable:bool extversion:text extconfig:_oid extcondition:_text

pg_catalog v 12110 pg_file_settings sourcefile:text sourceline:int4 seqno:int4 name:text
setting:text applied:bool error:text

pg_catalog r 2328 pg_foreign_data_wrapper oid:oid fdwname:name fdwowner:oid fdwhandler:oid
fdwvalidator:oid fdwacl:_aclitem fdwoptions:_text

pg_catalog r 1417 pg_foreign_server oid:oid srvname:name srvowner:oid srvfdw:oid srvtype:text
srvversion:text srvacl:_aclitem srvoptions:_text

pg_catalog r 3118 pg_foreign_table ftrelid:oid ftserver:oid ftoptions:_text

pg_catalog v 12010 pg_group groname:name grosysid:oid grolist:_oid

pg_catalog v 12114 pg_hba_file_rules line_number:int4 type:text database:_text user_name:_text
address:text netmask:text auth_method:text options:_text error:text

pg_catalog v 12118 pg_ident_file_mappings line_number:int4 map_name:text sys_name:text
pg_username:text error:text

pg_catalog r 2610 pg_index indexrelid:oid indrelid:oid indnatts:int2 indnkeyatts:int2
indisunique:bool indnullsnotdistinct:bool indisprimary:bool indisexclusion:bool indimmediate:bool
indisclustered:bool indisvalid:bool indcheckxmin:bool indisready:bool indislive:bool
indisreplident:bool indkey:int2vector indcollation:oidvector indclass:oidvector
indoption:int2vector indexprs:pg_node_tree indpred:pg_node_tree

pg_catalog v 12043 pg_indexes schemaname:name tablename:name indexname:name tablespace:name
indexdef:text

pg_catalog r 2611 pg_inherits inhrelid:oid inhparent:oid inhseqno:int4 inhdetachpending:bool

pg_catalog r 3394 pg_init_privs objoid:oid classoid:oid objsubid:int4 privtype:char
initprivs:_aclitem

pg_catalog r 2612 pg_language oid:oid lanname:name lanowner:oid lanispl:bool lanpltrusted:bool
lanplcallfoid:oid laninline:oid lanvalidator:oid lanacl:_aclitem

pg_catalog r 2613 pg_largeobject loid:oid pageno:int4 data:bytea

pg_catalog r 2995 pg_largeobject_metadata oid:oid lomowner:oid lomacl:_aclitem

pg_catalog v 12073 pg_locks locktype:text database:oid relation:oid page:int4 tuple:int2
virtualxid:text transactionid:xid classid:oid objid:oid objsubid:int2 virtualtransaction:text
pid:int4 mode:text granted:bool fastpath:bool waitstart:timestamptz

pg_catalog v 12038 pg_matviews schemaname:name matviewname:name matviewowner:name tablespace:name
hasindexes:bool ispopulated:bool definition:text

pg_catalog r 2615 pg_namespace oid:oid nspname:name nspowner:oid nspacl:_aclitem

pg_catalog r 2616 pg_opclass oid:oid opcmethod:oid opcname:name opcnamespace:oid opcowner:oid
opcfamily:oid opcintype:oid opcdefault:bool opckeytype:oid

pg_catalog r 2617 pg_operator oid:oid oprname:name oprnamespace:oid oprowner:oid oprkind:char
oprcanmerge:bool oprcanhash:bool oprleft:oid oprright:oid oprresult:oid oprcom:oid oprnegate:oid
oprcode:regproc oprrest:regproc oprjoin:regproc

pg_catalog r 2753 pg_opfamily oid:oid opfmethod:oid opfname:name opfnamespace:oid opfowner:oid

pg_catalog r 6243 pg_parameter_acl oid:oid parname:text paracl:_aclitem

pg_catalog r 3350 pg_partitioned_table partrelid:oid partstrat:char partnatts:int2 partdefid:oid
partattrs:int2vector partclass:oidvector partcollation:oidvector partexprs:pg_node_tree

pg_catalog v 12018 pg_policies schemaname:name tablename:name policyname:name permissive:text
roles:_name cmd:text qual:text with_check:text

pg_catalog r 3256 pg_policy oid:oid polname:name polrelid:oid polcmd:char polpermissive:bool
polroles:_oid polqual:pg_node_tree polwithcheck:pg_node_tree

pg_catalog v 12095 pg_prepared_statements name:text statement:text prepare_time:timestamptz
parameter_types:_regtype from_sql:bool generic_plans:int8 custom_plans:int8

pg_catalog v 12090 pg_prepared_xacts transaction:xid gid:text prepared:timestamptz owner:name
database:name

pg_catalog r 1255 pg_proc oid:oid proname:name pronamespace:oid proowner:oid prolang:oid
procost:float4 prorows:float4 provariadic:oid prosupport:regproc prokind:char prosecdef:bool
proleakproof:bool proisstrict:bool proretset:bool provolatile:char proparallel:char pronargs:int2
pronargdefaults:int2 prorettype:oid proargtypes:oidvector proallargtypes:_oid proargmodes:_char
proargnames:_text proargdefaults:pg_node_tree protrftypes:_oid prosrc:text probin:text
prosqlbody:pg_node_tree proconfig:_text proacl:_aclitem

pg_catalog r 6104 pg_publication oid:oid pubname:name pubowner:oid puballtables:bool
pubinsert:bool pubupdate:bool pubdelete:bool pubtruncate:bool pubviaroot:bool

pg_catalog r 6237 pg_publication_namespace oid:oid pnpubid:oid pnnspid:oid

pg_catalog r 6106 pg_publication_rel oid:oid prpubid:oid prrelid:oid prqual:pg_node_tree
prattrs:int2vector

pg_catalog v 12068 pg_publication_tables pubname:name schemaname:name tablename:name
attnames:_name rowfilter:text

pg_catalog r 3541 pg_range rngtypid:oid rngsubtype:oid rngmultitypid:oid rngcollation:oid
rngsubopc:oid rngcanonical:regproc rngsubdiff:regproc

pg_catalog r 6000 pg_replication_origin roident:oid roname:text

pg_catalog v 12332 pg_replication_origin_status local_id:oid external_id:text remote_lsn:pg_lsn
local_lsn:pg_lsn

pg_catalog v 12257 pg_replication_slots slot_name:name plugin:name slot_type:text datoid:oid
database:name temporary:bool active:bool active_pid:int4 xmin:xid catalog_xmin:xid
restart_lsn:pg_lsn confirmed_flush_lsn:pg_lsn wal_status:text safe_wal_size:int8 two_phase:bool

pg_catalog r 2618 pg_rewrite oid:oid rulename:name ev_class:oid ev_type:char ev_enabled:char
is_instead:bool ev_qual:pg_node_tree ev_action:pg_node_tree

pg_catalog v 12000 pg_roles rolname:name rolsuper:bool rolinherit:bool rolcreaterole:bool
rolcreatedb:bool rolcanlogin:bool rolreplication:bool rolconnlimit:int4 rolpassword:text
rolvaliduntil:timestamptz rolbypassrls:bool rolconfig:_text oid:oid

pg_catalog v 12023 pg_rules schemaname:name tablename:name rulename:name definition:text

pg_catalog r 3596 pg_seclabel objoid:oid classoid:oid objsubid:int4 provider:text label:text

pg_catalog v 12099 pg_seclabels objoid:oid classoid:oid objsubid:int4 objtype:text
objnamespace:oid objname:text provider:text label:text

pg_catalog r 2224 pg_sequence seqrelid:oid seqtypid:oid seqstart:int8 seqincrement:int8
seqmax:int8 seqmin:int8 seqcache:int8 seqcycle:bool

pg_catalog v 12048 pg_sequences schemaname:name sequencename:name sequenceowner:name
data_type:regtype start_value:int8 min_value:int8 max_value:int8 increment_by:int8 cycle:bool
cache_size:int8 last_value:int8

pg_catalog v 12104 pg_settings name:text setting:text unit:text category:text short_desc:text
extra_desc:text context:text vartype:text source:text min_val:text max_val:text enumvals:_text
boot_val:text reset_val:text sourcefile:text sourceline:int4 pending_restart:bool

pg_catalog v 12005 pg_shadow usename:name usesysid:oid usecreatedb:bool usesuper:bool userepl:bool
usebypassrls:bool passwd:text valuntil:timestamptz useconfig:_text

pg_catalog r 1214 pg_shdepend dbid:oid classid:oid objid:oid objsubid:int4 refclassid:oid
refobjid:oid deptype:char

pg_catalog r 2396 pg_shdescription objoid:oid classoid:oid description:text

pg_catalog v 12134 pg_shmem_allocations name:text off:int8 size:int8 allocated_size:int8

pg_catalog r 3592 pg_shseclabel objoid:oid classoid:oid provider:text label:text

pg_catalog v 12222 pg_stat_activity datid:oid datname:name pid:int4 leader_pid:int4 usesysid:oid
usename:name application_name:text client_addr:inet client_hostname:text client_port:int4
backend_start:timestamptz xact_start:timestamptz query_start:timestamptz state_change:timestamptz
wait_event_type:text wait_event:text state:text backend_xid:xid backend_xmin:xid query_id:int8
query:text backend_type:text

pg_catalog v 12183 pg_stat_all_indexes relid:oid indexrelid:oid schemaname:name relname:name
indexrelname:name idx_scan:int8 idx_tup_read:int8 idx_tup_fetch:int8

pg_catalog v 12142 pg_stat_all_tables relid:oid schemaname:name relname:name seq_scan:int8
seq_tup_read:int8 idx_scan:int8 idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8
n_tup_hot_upd:int8 n_live_tup:int8 n_dead_tup:int8 n_mod_since_analyze:int8
n_ins_since_vacuum:int8 last_vacuum:timestamptz last_autovacuum:timestamptz
last_analyze:timestamptz last_autoanalyze:timestamptz vacuum_count:int8 autovacuum_count:int8
analyze_count:int8 autoanalyze_count:int8

pg_catalog v 12285 pg_stat_archiver archived_count:int8 last_archived_wal:text
last_archived_time:timestamptz failed_count:int8 last_failed_wal:text last_failed_time:timestamptz
stats_reset:timestamptz

pg_catalog v 12289 pg_stat_bgwriter checkpoints_timed:int8 checkpoints_req:int8
checkpoint_write_time:float8 checkpoint_sync_time:float8 buffers_checkpoint:int8
buffers_clean:int8 maxwritten_clean:int8 buffers_backend:int8 buffers_backend_fsync:int8
buffers_alloc:int8 stats_reset:timestamptz

pg_catalog v 12266 pg_stat_database datid:oid datname:name numbackends:int4 xact_commit:int8
xact_rollback:int8 blks_read:int8 blks_hit:int8 tup_returned:int8 tup_fetched:int8
tup_inserted:int8 tup_updated:int8 tup_deleted:int8 conflicts:int8 temp_files:int8 temp_bytes:int8
deadlocks:int8 checksum_failures:int8 checksum_last_failure:timestamptz blk_read_time:float8
blk_write_time:float8 session_time:float8 active_time:float8 idle_in_transaction_time:float8
sessions:int8 sessions_abandoned:int8 sessions_fatal:int8 sessions_killed:int8
stats_reset:timestamptz

pg_catalog v 12271 pg_stat_database_conflicts datid:oid datname:name confl_tablespace:int8
confl_lock:int8 confl_snapshot:int8 confl_bufferpin:int8 confl_deadlock:int8

pg_catalog v 12253 pg_stat_gssapi pid:int4 gss_authenticated:bool principal:text encrypted:bool

pg_catalog v 12297 pg_stat_progress_analyze pid:int4 datid:oid datname:name relid:oid phase:text
sample_blks_total:int8 sample_blks_scanned:int8 ext_stats_total:int8 ext_stats_computed:int8
child_tables_total:int8 child_tables_done:int8 current_child_table_relid:oid

pg_catalog v 12317 pg_stat_progress_basebackup pid:int4 phase:text backup_total:int8
backup_streamed:int8 tablespaces_total:int8 tablespaces_streamed:int8

pg_catalog v 12307 pg_stat_progress_cluster pid:int4 datid:oid datname:name relid:oid command:text
phase:text cluster_index_relid:oid heap_tuples_scanned:int8 heap_tuples_written:int8
heap_blks_total:int8 heap_blks_scanned:int8 index_rebuild_count:int8

pg_catalog v 12322 pg_stat_progress_copy pid:int4 datid:oid datname:name relid:oid command:text
type:text bytes_processed:int8 bytes_total:int8 tuples_processed:int8 tuples_excluded:int8

pg_catalog v 12312 pg_stat_progress_create_index pid:int4 datid:oid datname:name relid:oid
index_relid:oid command:text phase:text lockers_total:int8 lockers_done:int8
current_locker_pid:int8 blocks_total:int8 blocks_done:int8 tuples_total:int8 tuples_done:int8
partitions_total:int8 partitions_done:int8

pg_catalog v 12302 pg_stat_progress_vacuum pid:int4 datid:oid datname:name relid:oid phase:text
heap_blks_total:int8 heap_blks_scanned:int8 heap_blks_vacuumed:int8 index_vacuum_count:int8
max_dead_tuples:int8 num_dead_tuples:int8

pg_catalog v 12240 pg_stat_recovery_prefetch stats_reset:timestamptz prefetch:int8 hit:int8
skip_init:int8 skip_new:int8 skip_fpw:int8 skip_rep:int8 wal_distance:int4 block_distance:int4
io_depth:int4

pg_catalog v 12227 pg_stat_replication pid:int4 usesysid:oid usename:name application_name:text
client_addr:inet client_hostname:text client_port:int4 backend_start:timestamptz backend_xmin:xid
state:text sent_lsn:pg_lsn write_lsn:pg_lsn flush_lsn:pg_lsn replay_lsn:pg_lsn write_lag:interval
flush_lag:interval replay_lag:interval sync_priority:int4 sync_state:text reply_time:timestamptz

pg_catalog v 12262 pg_stat_replication_slots slot_name:text spill_txns:int8 spill_count:int8
spill_bytes:int8 stream_txns:int8 stream_count:int8 stream_bytes:int8 total_txns:int8
total_bytes:int8 stats_reset:timestamptz

pg_catalog v 12232 pg_stat_slru name:text blks_zeroed:int8 blks_hit:int8 blks_read:int8
blks_written:int8 blks_exists:int8 flushes:int8 truncates:int8 stats_reset:timestamptz

pg_catalog v 12249 pg_stat_ssl pid:int4 ssl:bool version:text cipher:text bits:int4 client_dn:text
client_serial:numeric issuer_dn:text

pg_catalog v 12244 pg_stat_subscription subid:oid subname:name pid:int4 relid:oid
received_lsn:pg_lsn last_msg_send_time:timestamptz last_msg_receipt_time:timestamptz
latest_end_lsn:pg_lsn latest_end_time:timestamptz

pg_catalog v 12336 pg_stat_subscription_stats subid:oid subname:name apply_error_count:int8
sync_error_count:int8 stats_reset:timestamptz

pg_catalog v 12188 pg_stat_sys_indexes relid:oid indexrelid:oid schemaname:name relname:name
indexrelname:name idx_scan:int8 idx_tup_read:int8 idx_tup_fetch:int8

pg_catalog v 12152 pg_stat_sys_tables relid:oid schemaname:name relname:name seq_scan:int8
seq_tup_read:int8 idx_scan:int8 idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8
n_tup_hot_upd:int8 n_live_tup:int8 n_dead_tup:int8 n_mod_since_analyze:int8
n_ins_since_vacuum:int8 last_vacuum:timestamptz last_autovacuum:timestamptz
last_analyze:timestamptz last_autoanalyze:timestamptz vacuum_count:int8 autovacuum_count:int8
analyze_count:int8 autoanalyze_count:int8

pg_catalog v 12275 pg_stat_user_functions funcid:oid schemaname:name funcname:name calls:int8
total_time:float8 self_time:float8

pg_catalog v 12192 pg_stat_user_indexes relid:oid indexrelid:oid schemaname:name relname:name
indexrelname:name idx_scan:int8 idx_tup_read:int8 idx_tup_fetch:int8

pg_catalog v 12161 pg_stat_user_tables relid:oid schemaname:name relname:name seq_scan:int8
seq_tup_read:int8 idx_scan:int8 idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8
n_tup_hot_upd:int8 n_live_tup:int8 n_dead_tup:int8 n_mod_since_analyze:int8
n_ins_since_vacuum:int8 last_vacuum:timestamptz last_autovacuum:timestamptz
last_analyze:timestamptz last_autoanalyze:timestamptz vacuum_count:int8 autovacuum_count:int8
analyze_count:int8 autoanalyze_count:int8

pg_catalog v 12293 pg_stat_wal wal_records:int8 wal_fpi:int8 wal_bytes:numeric
wal_buffers_full:int8 wal_write:int8 wal_sync:int8 wal_write_time:float8 wal_sync_time:float8
stats_reset:timestamptz

pg_catalog v 12236 pg_stat_wal_receiver pid:int4 status:text receive_start_lsn:pg_lsn
receive_start_tli:int4 written_lsn:pg_lsn flushed_lsn:pg_lsn received_tli:int4
last_msg_send_time:timestamptz last_msg_receipt_time:timestamptz latest_end_lsn:pg_lsn
latest_end_time:timestamptz slot_name:text sender_host:text sender_port:int4 conninfo:text

pg_catalog v 12147 pg_stat_xact_all_tables relid:oid schemaname:name relname:name seq_scan:int8
seq_tup_read:int8 idx_scan:int8 idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8
n_tup_hot_upd:int8

pg_catalog v 12157 pg_stat_xact_sys_tables relid:oid schemaname:name relname:name seq_scan:int8
seq_tup_read:int8 idx_scan:int8 idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8
n_tup_hot_upd:int8

pg_catalog v 12280 pg_stat_xact_user_functions funcid:oid schemaname:name funcname:name calls:int8
total_time:float8 self_time:float8

pg_catalog v 12166 pg_stat_xact_user_tables relid:oid schemaname:name relname:name seq_scan:int8
seq_tup_read:int8 idx_scan:int8 idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8
n_tup_hot_upd:int8

pg_catalog v 12196 pg_statio_all_indexes relid:oid indexrelid:oid schemaname:name relname:name
indexrelname:name idx_blks_read:int8 idx_blks_hit:int8

pg_catalog v 12209 pg_statio_all_sequences relid:oid schemaname:name relname:name blks_read:int8
blks_hit:int8

pg_catalog v 12170 pg_statio_all_tables relid:oid schemaname:name relname:name heap_blks_read:int8
heap_blks_hit:int8 idx_blks_read:int8 idx_blks_hit:int8 toast_blks_read:int8 toast_blks_hit:int8
tidx_blks_read:int8 tidx_blks_hit:int8

pg_catalog v 12201 pg_statio_sys_indexes relid:oid indexrelid:oid schemaname:name relname:name
indexrelname:name idx_blks_read:int8 idx_blks_hit:int8

pg_catalog v 12214 pg_statio_sys_sequences relid:oid schemaname:name relname:name blks_read:int8
blks_hit:int8

pg_catalog v 12175 pg_statio_sys_tables relid:oid schemaname:name relname:name heap_blks_read:int8
heap_blks_hit:int8 idx_blks_read:int8 idx_blks_hit:int8 toast_blks_read:int8 toast_blks_hit:int8
tidx_blks_read:int8 tidx_blks_hit:int8

pg_catalog v 12205 pg_statio_user_indexes relid:oid indexrelid:oid schemaname:name relname:name
indexrelname:name idx_blks_read:int8 idx_blks_hit:int8

pg_catalog v 12218 pg_statio_user_sequences relid:oid schemaname:name relname:name blks_read:int8
blks_hit:int8

pg_catalog v 12179 pg_statio_user_tables relid:oid schemaname:name relname:name
heap_blks_read:int8 heap_blks_hit:int8 idx_blks_read:int8 idx_blks_hit:int8 toast_blks_read:int8
toast_blks_hit:int8 tidx_blks_read:int8 tidx_blks_hit:int8

pg_catalog r 2619 pg_statistic starelid:oid staattnum:int2 stainherit:bool stanullfrac:float4
stawidth:int4 stadistinct:float4 stakind1:int2 stakind2:int2 stakind3:int2 stakind4:int2
stakind5:int2 staop1:oid staop2:oid staop3:oid staop4:oid staop5:oid stacoll1:oid stacoll2:oid
stacoll3:oid stacoll4:oid stacoll5:oid stanumbers1:_float4 stanumbers2:_float4 stanumbers3:_float4
stanumbers4:_float4 stanumbers5:_float4 stavalues1:anyarray stavalues2:anyarray
stavalues3:anyarray stavalues4:anyarray stavalues5:anyarray

pg_catalog r 3381 pg_statistic_ext oid:oid stxrelid:oid stxname:name stxnamespace:oid stxowner:oid
stxstattarget:int4 stxkeys:int2vector stxkind:_char stxexprs:pg_node_tree

pg_catalog v 12053 pg_stats schemaname:name tablename:name attname:name inherited:bool
null_frac:float4 avg_width:int4 n_distinct:float4 most_common_vals:anyarray
most_common_freqs:_float4 histogram_bounds:anyarray correlation:float4 most_common_elems:anyarray
most_common_elem_freqs:_float4 elem_count_histogram:_float4

pg_catalog v 12058 pg_stats_ext schemaname:name tablename:name statistics_schemaname:name
statistics_name:name statistics_owner:name attnames:_name exprs:_text kinds:_char inherited:bool
n_distinct:pg_ndistinct dependencies:pg_dependencies most_common_vals:_text
most_common_val_nulls:_bool most_common_freqs:_float8 most_common_base_freqs:_float8

pg_catalog v 12063 pg_stats_ext_exprs schemaname:name tablename:name statistics_schemaname:name
statistics_name:name statistics_owner:name expr:text inherited:bool null_frac:float4
avg_width:int4 n_distinct:float4 most_common_vals:anyarray most_common_freqs:_float4
histogram_bounds:anyarray correlation:float4 most_common_elems:anyarray
most_common_elem_freqs:_float4 elem_count_histogram:_float4

pg_catalog r 6100 pg_subscription oid:oid subdbid:oid subskiplsn:pg_lsn subname:name subowner:oid
subenabled:bool subbinary:bool substream:bool subtwophasestate:char subdisableonerr:bool
subconninfo:text subslotname:name subsynccommit:text subpublications:_text

pg_catalog r 6102 pg_subscription_rel srsubid:oid srrelid:oid srsubstate:char srsublsn:pg_lsn

pg_catalog v 12033 pg_tables schemaname:name tablename:name tableowner:name tablespace:name
hasindexes:bool hasrules:bool hastriggers:bool rowsecurity:bool

pg_catalog r 1213 pg_tablespace oid:oid spcname:name spcowner:oid spcacl:_aclitem spcoptions:_text

pg_catalog v 12122 pg_timezone_abbrevs abbrev:text utc_offset:interval is_dst:bool

pg_catalog v 12126 pg_timezone_names name:text abbrev:text utc_offset:interval is_dst:bool

pg_catalog r 3576 pg_transform oid:oid trftype:oid trflang:oid trffromsql:regproc trftosql:regproc

pg_catalog r 2620 pg_trigger oid:oid tgrelid:oid tgparentid:oid tgname:name tgfoid:oid tgtype:int2
tgenabled:char tgisinternal:bool tgconstrrelid:oid tgconstrindid:oid tgconstraint:oid
tgdeferrable:bool tginitdeferred:bool tgnargs:int2 tgattr:int2vector tgargs:bytea
tgqual:pg_node_tree tgoldtable:name tgnewtable:name

pg_catalog r 3602 pg_ts_config oid:oid cfgname:name cfgnamespace:oid cfgowner:oid cfgparser:oid

pg_catalog r 3603 pg_ts_config_map mapcfg:oid maptokentype:int4 mapseqno:int4 mapdict:oid

pg_catalog r 3600 pg_ts_dict oid:oid dictname:name dictnamespace:oid dictowner:oid
dicttemplate:oid dictinitoption:text

pg_catalog r 3601 pg_ts_parser oid:oid prsname:name prsnamespace:oid prsstart:regproc
prstoken:regproc prsend:regproc prsheadline:regproc prslextype:regproc

pg_catalog r 3764 pg_ts_template oid:oid tmplname:name tmplnamespace:oid tmplinit:regproc
tmpllexize:regproc

pg_catalog r 1247 pg_type oid:oid typname:name typnamespace:oid typowner:oid typlen:int2
typbyval:bool typtype:char typcategory:char typispreferred:bool typisdefined:bool typdelim:char
typrelid:oid typsubscript:regproc typelem:oid typarray:oid typinput:regproc typoutput:regproc
typreceive:regproc typsend:regproc typmodin:regproc typmodout:regproc typanalyze:regproc
typalign:char typstorage:char typnotnull:bool typbasetype:oid typtypmod:int4 typndims:int4
typcollation:oid typdefaultbin:pg_node_tree typdefault:text typacl:_aclitem

pg_catalog v 12014 pg_user usename:name usesysid:oid usecreatedb:bool usesuper:bool userepl:bool
usebypassrls:bool passwd:text valuntil:timestamptz useconfig:_text

pg_catalog r 1418 pg_user_mapping oid:oid umuser:oid umserver:oid umoptions:_text

pg_catalog v 12327 pg_user_mappings umid:oid srvid:oid srvname:name umuser:oid usename:name
umoptions:_text

pg_catalog v 12028 pg_views schemaname:name viewname:name viewowner:name definition:text

information_schema v 13507 _pg_foreign_data_wrappers oid:oid fdwowner:oid fdwoptions:_text
foreign_data_wrapper_catalog:name foreign_data_wrapper_name:name authorization_identifier:name
foreign_data_wrapper_language:varchar

information_schema v 13519 _pg_foreign_servers oid:oid srvoptions:_text
foreign_server_catalog:name foreign_server_name:name foreign_data_wrapper_catalog:name
foreign_data_wrapper_name:name foreign_server_type:varchar foreign_server_version:varchar
authorization_identifier:name

information_schema v 13498 _pg_foreign_table_columns nspname:name relname:name attname:name
attfdwoptions:_text

information_schema v 13532 _pg_foreign_tables foreign_table_catalog:name foreign_table_schema:name
foreign_table_name:name ftoptions:_text foreign_server_catalog:name foreign_server_name:name
authorization_identifier:name

information_schema v 13545 _pg_user_mappings oid:oid umoptions:_text umuser:oid
authorization_identifier:name foreign_server_catalog:name foreign_server_name:name srvowner:name

information_schema v 13241 administrable_role_authorizations grantee:name role_name:name
is_grantable:varchar:7

information_schema v 13236 applicable_roles grantee:name role_name:name is_grantable:varchar:7

information_schema v 13245 attributes udt_catalog:name udt_schema:name udt_name:name
attribute_name:name ordinal_position:int4 attribute_default:varchar is_nullable:varchar:7
data_type:varchar character_maximum_length:int4 character_octet_length:int4
character_set_catalog:name character_set_schema:name character_set_name:name
collation_catalog:name collation_schema:name collation_name:name numeric_precision:int4
numeric_precision_radix:int4 numeric_scale:int4 datetime_precision:int4 interval_type:varchar
interval_precision:int4 attribute_udt_catalog:name attribute_udt_schema:name
attribute_udt_name:name scope_catalog:name scope_schema:name scope_name:name
maximum_cardinality:int4 dtd_identifier:name is_derived_reference_attribute:varchar:7

information_schema v 13250 character_sets character_set_catalog:name character_set_schema:name
character_set_name:name character_repertoire:name form_of_use:name default_collate_catalog:name
default_collate_schema:name default_collate_name:name

information_schema v 13255 check_constraint_routine_usage constraint_catalog:name
constraint_schema:name constraint_name:name specific_catalog:name specific_schema:name
specific_name:name

information_schema v 13260 check_constraints constraint_catalog:name constraint_schema:name
constraint_name:name check_clause:varchar

information_schema v 13270 collation_character_set_applicability collation_catalog:name
collation_schema:name collation_name:name character_set_catalog:name character_set_schema:name
character_set_name:name

information_schema v 13265 collations collation_catalog:name collation_schema:name
collation_name:name pad_attribute:varchar

information_schema v 13275 column_column_usage table_catalog:name table_schema:name
table_name:name column_name:name dependent_column:name

information_schema v 13280 column_domain_usage domain_catalog:name domain_schema:name
domain_name:name table_catalog:name table_schema:name table_name:name column_name:name

information_schema v 13503 column_options table_catalog:name table_schema:name table_name:name
column_name:name option_name:name option_value:varchar

information_schema v 13285 column_privileges grantor:name grantee:name table_catalog:name
table_schema:name table_name:name column_name:name privilege_type:varchar is_grantable:varchar:7

information_schema v 13290 column_udt_usage udt_catalog:name udt_schema:name udt_name:name
table_catalog:name table_schema:name table_name:name column_name:name

information_schema v 13295 columns table_catalog:name table_schema:name table_name:name
column_name:name ordinal_position:int4 column_default:varchar is_nullable:varchar:7
data_type:varchar character_maximum_length:int4 character_octet_length:int4 numeric_precision:int4
numeric_precision_radix:int4 numeric_scale:int4 datetime_precision:int4 interval_type:varchar
interval_precision:int4 character_set_catalog:name character_set_schema:name
character_set_name:name collation_catalog:name collation_schema:name collation_name:name
domain_catalog:name domain_schema:name domain_name:name udt_catalog:name udt_schema:name
udt_name:name scope_catalog:name scope_schema:name scope_name:name maximum_cardinality:int4
dtd_identifier:name is_self_referencing:varchar:7 is_identity:varchar:7
identity_generation:varchar identity_start:varchar identity_increment:varchar
identity_maximum:varchar identity_minimum:varchar identity_cycle:varchar:7 is_generated:varchar
generation_expression:varchar is_updatable:varchar:7

information_schema v 13300 constraint_column_usage table_catalog:name table_schema:name
table_name:name column_name:name constraint_catalog:name constraint_schema:name
constraint_name:name

information_schema v 13305 constraint_table_usage table_catalog:name table_schema:name
table_name:name constraint_catalog:name constraint_schema:name constraint_name:name

information_schema v 13488 data_type_privileges object_catalog:name object_schema:name
object_name:name object_type:varchar dtd_identifier:name

information_schema v 13310 domain_constraints constraint_catalog:name constraint_schema:name
constraint_name:name domain_catalog:name domain_schema:name domain_name:name
is_deferrable:varchar:7 initially_deferred:varchar:7

information_schema v 13315 domain_udt_usage udt_catalog:name udt_schema:name udt_name:name
domain_catalog:name domain_schema:name domain_name:name

information_schema v 13320 domains domain_catalog:name domain_schema:name domain_name:name
data_type:varchar character_maximum_length:int4 character_octet_length:int4
character_set_catalog:name character_set_schema:name character_set_name:name
collation_catalog:name collation_schema:name collation_name:name numeric_precision:int4
numeric_precision_radix:int4 numeric_scale:int4 datetime_precision:int4 interval_type:varchar
interval_precision:int4 domain_default:varchar udt_catalog:name udt_schema:name udt_name:name
scope_catalog:name scope_schema:name scope_name:name maximum_cardinality:int4 dtd_identifier:name

information_schema v 13493 element_types object_catalog:name object_schema:name object_name:name
object_type:varchar collection_type_identifier:name data_type:varchar
character_maximum_length:int4 character_octet_length:int4 character_set_catalog:name
character_set_schema:name character_set_name:name collation_catalog:name collation_schema:name
collation_name:name numeric_precision:int4 numeric_precision_radix:int4 numeric_scale:int4
datetime_precision:int4 interval_type:varchar interval_precision:int4 domain_default:varchar
udt_catalog:name udt_schema:name udt_name:name scope_catalog:name scope_schema:name
scope_name:name maximum_cardinality:int4 dtd_identifier:name

information_schema v 13325 enabled_roles role_name:name

information_schema v 13511 foreign_data_wrapper_options foreign_data_wrapper_catalog:name
foreign_data_wrapper_name:name option_name:name option_value:varchar

information_schema v 13515 foreign_data_wrappers foreign_data_wrapper_catalog:name
foreign_data_wrapper_name:name authorization_identifier:name library_name:varchar
foreign_data_wrapper_language:varchar

information_schema v 13524 foreign_server_options foreign_server_catalog:name
foreign_server_name:name option_name:name option_value:varchar

information_schema v 13528 foreign_servers foreign_server_catalog:name foreign_server_name:name
foreign_data_wrapper_catalog:name foreign_data_wrapper_name:name foreign_server_type:varchar
foreign_server_version:varchar authorization_identifier:name

information_schema v 13537 foreign_table_options foreign_table_catalog:name
foreign_table_schema:name foreign_table_name:name option_name:name option_value:varchar

information_schema v 13541 foreign_tables foreign_table_catalog:name foreign_table_schema:name
foreign_table_name:name foreign_server_catalog:name foreign_server_name:name

information_schema v 13227 information_schema_catalog_name catalog_name:name

information_schema v 13329 key_column_usage constraint_catalog:name constraint_schema:name
constraint_name:name table_catalog:name table_schema:name table_name:name column_name:name
ordinal_position:int4 position_in_unique_constraint:int4

information_schema v 13334 parameters specific_catalog:name specific_schema:name
specific_name:name ordinal_position:int4 parameter_mode:varchar is_result:varchar:7
as_locator:varchar:7 parameter_name:name data_type:varchar character_maximum_length:int4
character_octet_length:int4 character_set_catalog:name character_set_schema:name
character_set_name:name collation_catalog:name collation_schema:name collation_name:name
numeric_precision:int4 numeric_precision_radix:int4 numeric_scale:int4 datetime_precision:int4
interval_type:varchar interval_precision:int4 udt_catalog:name udt_schema:name udt_name:name
scope_catalog:name scope_schema:name scope_name:name maximum_cardinality:int4 dtd_identifier:name
parameter_default:varchar

information_schema v 13339 referential_constraints constraint_catalog:name constraint_schema:name
constraint_name:name unique_constraint_catalog:name unique_constraint_schema:name
unique_constraint_name:name match_option:varchar update_rule:varchar delete_rule:varchar

information_schema v 13344 role_column_grants grantor:name grantee:name table_catalog:name
table_schema:name table_name:name column_name:name privilege_type:varchar is_grantable:varchar:7

information_schema v 13358 role_routine_grants grantor:name grantee:name specific_catalog:name
specific_schema:name specific_name:name routine_catalog:name routine_schema:name routine_name:name
privilege_type:varchar is_grantable:varchar:7

information_schema v 13421 role_table_grants grantor:name grantee:name table_catalog:name
table_schema:name table_name:name privilege_type:varchar is_grantable:varchar:7
with_hierarchy:varchar:7

information_schema v 13450 role_udt_grants grantor:name grantee:name udt_catalog:name
udt_schema:name udt_name:name privilege_type:varchar is_grantable:varchar:7

information_schema v 13459 role_usage_grants grantor:name grantee:name object_catalog:name
object_schema:name object_name:name object_type:varchar privilege_type:varchar
is_grantable:varchar:7

information_schema v 13348 routine_column_usage specific_catalog:name specific_schema:name
specific_name:name routine_catalog:name routine_schema:name routine_name:name table_catalog:name
table_schema:name table_name:name column_name:name

information_schema v 13353 routine_privileges grantor:name grantee:name specific_catalog:name
specific_schema:name specific_name:name routine_catalog:name routine_schema:name routine_name:name
privilege_type:varchar is_grantable:varchar:7

information_schema v 13362 routine_routine_usage specific_catalog:name specific_schema:name
specific_name:name routine_catalog:name routine_schema:name routine_name:name

information_schema v 13367 routine_sequence_usage specific_catalog:name specific_schema:name
specific_name:name routine_catalog:name routine_schema:name routine_name:name
sequence_catalog:name sequence_schema:name sequence_name:name

information_schema v 13372 routine_table_usage specific_catalog:name specific_schema:name
specific_name:name routine_catalog:name routine_schema:name routine_name:name table_catalog:name
table_schema:name table_name:name

information_schema v 13377 routines specific_catalog:name specific_schema:name specific_name:name
routine_catalog:name routine_schema:name routine_name:name routine_type:varchar
module_catalog:name module_schema:name module_name:name udt_catalog:name udt_schema:name
udt_name:name data_type:varchar character_maximum_length:int4 character_octet_length:int4
character_set_catalog:name character_set_schema:name character_set_name:name
collation_catalog:name collation_schema:name collation_name:name numeric_precision:int4
numeric_precision_radix:int4 numeric_scale:int4 datetime_precision:int4 interval_type:varchar
interval_precision:int4 type_udt_catalog:name type_udt_schema:name type_udt_name:name
scope_catalog:name scope_schema:name scope_name:name maximum_cardinality:int4 dtd_identifier:name
routine_body:varchar routine_definition:varchar external_name:varchar external_language:varchar
parameter_style:varchar is_deterministic:varchar:7 sql_data_access:varchar is_null_call:varchar:7
sql_path:varchar schema_level_routine:varchar:7 max_dynamic_result_sets:int4
is_user_defined_cast:varchar:7 is_implicitly_invocable:varchar:7 security_type:varchar
to_sql_specific_catalog:name to_sql_specific_schema:name to_sql_specific_name:name
as_locator:varchar:7 created:timestamptz:2 last_altered:timestamptz:2
new_savepoint_level:varchar:7 is_udt_dependent:varchar:7 result_cast_from_data_type:varchar
result_cast_as_locator:varchar:7 result_cast_char_max_length:int4
result_cast_char_octet_length:int4 result_cast_char_set_catalog:name
result_cast_char_set_schema:name result_cast_char_set_name:name result_cast_collation_catalog:name
result_cast_collation_schema:name result_cast_collation_name:name
result_cast_numeric_precision:int4 result_cast_numeric_precision_radix:int4
result_cast_numeric_scale:int4 result_cast_datetime_precision:int4
result_cast_interval_type:varchar result_cast_interval_precision:int4
result_cast_type_udt_catalog:name result_cast_type_udt_schema:name result_cast_type_udt_name:name
result_cast_scope_catalog:name result_cast_scope_schema:name result_cast_scope_name:name
result_cast_maximum_cardinality:int4 result_cast_dtd_identifier:name

information_schema v 13382 schemata catalog_name:name schema_name:name schema_owner:name
default_character_set_catalog:name default_character_set_schema:name
default_character_set_name:name sql_path:varchar

information_schema v 13386 sequences sequence_catalog:name sequence_schema:name sequence_name:name
data_type:varchar numeric_precision:int4 numeric_precision_radix:int4 numeric_scale:int4
start_value:varchar minimum_value:varchar maximum_value:varchar increment:varchar
cycle_option:varchar:7

information_schema r 13391 sql_features feature_id:varchar feature_name:varchar
sub_feature_id:varchar sub_feature_name:varchar is_supported:varchar:7 is_verified_by:varchar
comments:varchar

information_schema r 13396 sql_implementation_info implementation_info_id:varchar
implementation_info_name:varchar integer_value:int4 character_value:varchar comments:varchar

information_schema r 13401 sql_parts feature_id:varchar feature_name:varchar
is_supported:varchar:7 is_verified_by:varchar comments:varchar

information_schema r 13406 sql_sizing sizing_id:int4 sizing_name:varchar supported_value:int4
comments:varchar

information_schema v 13411 table_constraints constraint_catalog:name constraint_schema:name
constraint_name:name table_catalog:name table_schema:name table_name:name constraint_type:varchar
is_deferrable:varchar:7 initially_deferred:varchar:7 enforced:varchar:7 nulls_distinct:varchar:7

information_schema v 13416 table_privileges grantor:name grantee:name table_catalog:name
table_schema:name table_name:name privilege_type:varchar is_grantable:varchar:7
with_hierarchy:varchar:7

information_schema v 13425 tables table_catalog:name table_schema:name table_name:name
table_type:varchar self_referencing_column_name:name reference_generation:varchar
user_defined_type_catalog:name user_defined_type_schema:name user_defined_type_name:name
is_insertable_into:varchar:7 is_typed:varchar:7 commit_action:varchar

information_schema v 13430 transforms udt_catalog:name udt_schema:name udt_name:name
specific_catalog:name specific_schema:name specific_name:name group_name:name
transform_type:varchar

information_schema v 13435 triggered_update_columns trigger_catalog:name trigger_schema:name
trigger_name:name event_object_catalog:name event_object_schema:name event_object_table:name
event_object_column:name

information_schema v 13440 triggers trigger_catalog:name trigger_schema:name trigger_name:name
event_manipulation:varchar event_object_catalog:name event_object_schema:name
event_object_table:name action_order:int4 action_condition:varchar action_statement:varchar
action_orientation:varchar action_timing:varchar action_reference_old_table:name
action_reference_new_table:name action_reference_old_row:name action_reference_new_row:name
created:timestamptz:2

information_schema v 13445 udt_privileges grantor:name grantee:name udt_catalog:name
udt_schema:name udt_name:name privilege_type:varchar is_grantable:varchar:7

information_schema v 13454 usage_privileges grantor:name grantee:name object_catalog:name
object_schema:name object_name:name object_type:varchar privilege_type:varchar
is_grantable:varchar:7

information_schema v 13463 user_defined_types user_defined_type_catalog:name
user_defined_type_schema:name user_defined_type_name:name user_defined_type_category:varchar
is_instantiable:varchar:7 is_final:varchar:7 ordering_form:varchar ordering_category:varchar
ordering_routine_catalog:name ordering_routine_schema:name ordering_routine_name:name
reference_type:varchar data_type:varchar character_maximum_length:int4 character_octet_length:int4
character_set_catalog:name character_set_schema:name character_set_name:name
collation_catalog:name collation_schema:name collation_name:name numeric_precision:int4
numeric_precision_radix:int4 numeric_scale:int4 datetime_precision:int4 interval_type:varchar
interval_precision:int4 source_dtd_identifier:name ref_dtd_identifier:name

information_schema v 13550 user_mapping_options authorization_identifier:name
foreign_server_catalog:name foreign_server_name:name option_name:name option_value:varchar

information_schema v 13555 user_mappings authorization_identifier:name foreign_server_catalog:name
foreign_server_name:name

information_schema v 13468 view_column_usage view_catalog:name view_schema:name view_name:name
table_catalog:name table_schema:name table_name:name column_name:name

information_schema v 13473 view_routine_usage table_catalog:name table_schema:name table_name:name
specific_catalog:name specific_schema:name specific_name:name

information_schema v 13478 view_table_usage view_catalog:name view_schema:name view_name:name
table_catalog:name table_schema:name table_name:name

information_schema v 13483 views table_catalog:name table_schema:name table_name:name
view_definition:varchar check_option:varchar is_updatable:varchar:7 is_insertable_into:varchar:7
is_trigger_updatable:varchar:7 is_trigger_deletable:varchar:7 is_trigger_insertable_into:varchar:7
"""
"""Schema, relkind, oid, name, each column with its type, a domain's base type."""

TYPES: Final = """
16 bool 1 t b B t , 0 1000 c p 0 1242 1243 2436 2437 0 0 0
17 bytea -1 f b U f , 0 1001 i x 0 1244 31 2412 2413 0 0 0
18 char 1 t b Z f , 0 1002 c p 0 1245 33 2434 2435 0 0 0
19 name 64 f b S f , 18 1003 c p 950 34 35 2422 2423 6180 0 0
20 int8 8 t b N f , 0 1016 d p 0 460 461 2408 2409 0 0 0
21 int2 2 t b N f , 0 1005 s p 0 38 39 2404 2405 0 0 0
22 int2vector -1 f b A f , 21 1006 i p 0 40 41 2410 2411 6179 0 0
23 int4 4 t b N f , 0 1007 i p 0 42 43 2406 2407 0 0 0
24 regproc 4 t b N f , 0 1008 i p 0 44 45 2444 2445 0 0 0
25 text -1 f b S t , 0 1009 i x 100 46 47 2414 2415 0 0 0
26 oid 4 t b N t , 0 1028 i p 0 1798 1799 2418 2419 0 0 0
27 tid 6 f b U f , 0 1010 s p 0 48 49 2438 2439 0 0 0
28 xid 4 t b U f , 0 1011 i p 0 50 51 2440 2441 0 0 0
29 cid 4 t b U f , 0 1012 i p 0 52 53 2442 2443 0 0 0
30 oidvector -1 f b A f , 26 1013 i p 0 54 55 2420 2421 6179 0 0
32 pg_ddl_command 8 t p P f , 0 0 d p 0 86 87 88 90 0 0 0
114 json -1 f b U f , 0 199 i x 0 321 322 323 324 0 0 0
142 xml -1 f b U f , 0 143 i x 0 2893 2894 2898 2899 0 0 0
143 _xml -1 f b A f , 142 0 i x 0 750 751 2400 2401 6179 0 0
194 pg_node_tree -1 f b Z f , 0 0 i x 100 195 196 197 198 0 0 0
199 _json -1 f b A f , 114 0 i x 0 750 751 2400 2401 6179 0 0
269 table_am_handler 4 t p P f , 0 0 i p 0 267 268 0 0 0 0 0
271 _xid8 -1 f b A f , 5069 0 d x 0 750 751 2400 2401 6179 0 0
325 index_am_handler 4 t p P f , 0 0 i p 0 326 327 0 0 0 0 0
600 point 16 f b G f , 701 1017 d p 0 117 118 2428 2429 6180 0 0
601 lseg 32 f b G f , 600 1018 d p 0 119 120 2480 2481 6180 0 0
602 path -1 f b G f , 0 1019 d x 0 121 122 2482 2483 0 0 0
603 box 32 f b G f ; 600 1020 d p 0 123 124 2484 2485 6180 0 0
604 polygon -1 f b G f , 0 1027 d x 0 347 348 2486 2487 0 0 0
628 line 24 f b G f , 701 629 d p 0 1490 1491 2488 2489 6180 0 0
629 _line -1 f b A f , 628 0 d x 0 750 751 2400 2401 6179 0 0
650 cidr -1 f b I f , 0 651 i m 0 1267 1427 2498 2499 0 0 0
651 _cidr -1 f b A f , 650 0 i x 0 750 751 2400 2401 6179 0 0
700 float4 4 t b N f , 0 1021 i p 0 200 201 2424 2425 0 0 0
701 float8 8 t b N t , 0 1022 d p 0 214 215 2426 2427 0 0 0
705 unknown -2 f p X f , 0 0 c p 0 109 110 2416 2417 0 0 0
718 circle 24 f b G f , 0 719 d p 0 1450 1451 2490 2491 0 0 0
719 _circle -1 f b A f , 718 0 d x 0 750 751 2400 2401 6179 0 0
774 macaddr8 8 f b U f , 0 775 i p 0 4110 4111 3446 3447 0 0 0
775 _macaddr8 -1 f b A f , 774 0 i x 0 750 751 2400 2401 6179 0 0
790 money 8 t b N f , 0 791 d p 0 886 887 2492 2493 0 0 0
791 _money -1 f b A f , 790 0 d x 0 750 751 2400 2401 6179 0 0
829 macaddr 6 f b U f , 0 1040 i p 0 436 437 2494 2495 0 0 0
869 inet -1 f b I t , 0 1041 i m 0 910 911 2496 2497 0 0 0
1000 _bool -1 f b A f , 16 0 i x 0 750 751 2400 2401 6179 0 0
1001 _bytea -1 f b A f , 17 0 i x 0 750 751 2400 2401 6179 0 0
1002 _char -1 f b A f , 18 0 i x 0 750 751 2400 2401 6179 0 0
1003 _name -1 f b A f , 19 0 i x 950 750 751 2400 2401 6179 0 0
1005 _int2 -1 f b A f , 21 0 i x 0 750 751 2400 2401 6179 0 0
1006 _int2vector -1 f b A f , 22 0 i x 0 750 751 2400 2401 6179 0 0
1007 _int4 -1 f b A f , 23 0 i x 0 750 751 2400 2401 6179 0 0
1008 _regproc -1 f b A f , 24 0 i x 0 750 751 2400 2401 6179 0 0
1009 _text -1 f b A f , 25 0 i x 100 750 751 2400 2401 6179 0 0
1010 _tid -1 f b A f , 27 0 i x 0 750 751 2400 2401 6179 0 0
1011 _xid -1 f b A f , 28 0 i x 0 750 751 2400 2401 6179 0 0
1012 _cid -1 f b A f , 29 0 i x 0 750 751 2400 2401 6179 0 0
1013 _oidvector -1 f b A f , 30 0 i x 0 750 751 2400 2401 6179 0 0
1014 _bpchar -1 f b A f , 1042 0 i x 100 750 751 2400 2401 6179 2913 2914
1015 _varchar -1 f b A f , 1043 0 i x 100 750 751 2400 2401 6179 2915 2916
1016 _int8 -1 f b A f , 20 0 d x 0 750 751 2400 2401 6179 0 0
1017 _point -1 f b A f , 600 0 d x 0 750 751 2400 2401 6179 0 0
1018 _lseg -1 f b A f , 601 0 d x 0 750 751 2400 2401 6179 0 0
1019 _path -1 f b A f , 602 0 d x 0 750 751 2400 2401 6179 0 0
1020 _box -1 f b A f ; 603 0 d x 0 750 751 2400 2401 6179 0 0
1021 _float4 -1 f b A f , 700 0 i x 0 750 751 2400 2401 6179 0 0
1022 _float8 -1 f b A f , 701 0 d x 0 750 751 2400 2401 6179 0 0
1027 _polygon -1 f b A f , 604 0 d x 0 750 751 2400 2401 6179 0 0
1028 _oid -1 f b A f , 26 0 i x 0 750 751 2400 2401 6179 0 0
1033 aclitem 12 f b U f , 0 1034 i p 0 1031 1032 0 0 0 0 0
1034 _aclitem -1 f b A f , 1033 0 i x 0 750 751 2400 2401 6179 0 0
1040 _macaddr -1 f b A f , 829 0 i x 0 750 751 2400 2401 6179 0 0
1041 _inet -1 f b A f , 869 0 i x 0 750 751 2400 2401 6179 0 0
1042 bpchar -1 f b S f , 0 1014 i x 100 1044 1045 2430 2431 0 2913 2914
1043 varchar -1 f b S f , 0 1015 i x 100 1046 1047 2432 2433 0 2915 2916
1082 date 4 t b D f , 0 1182 i p 0 1084 1085 2468 2469 0 0 0
1083 time 8 t b D f , 0 1183 d p 0 1143 1144 2470 2471 0 2909 2910
1114 timestamp 8 t b D f , 0 1115 d p 0 1312 1313 2474 2475 0 2905 2906
1115 _timestamp -1 f b A f , 1114 0 d x 0 750 751 2400 2401 6179 2905 2906
1182 _date -1 f b A f , 1082 0 i x 0 750 751 2400 2401 6179 0 0
1183 _time -1 f b A f , 1083 0 d x 0 750 751 2400 2401 6179 2909 2910
1184 timestamptz 8 t b D t , 0 1185 d p 0 1150 1151 2476 2477 0 2907 2908
1185 _timestamptz -1 f b A f , 1184 0 d x 0 750 751 2400 2401 6179 2907 2908
1186 interval 16 f b T t , 0 1187 d p 0 1160 1161 2478 2479 0 2903 2904
1187 _interval -1 f b A f , 1186 0 d x 0 750 751 2400 2401 6179 2903 2904
1231 _numeric -1 f b A f , 1700 0 i x 0 750 751 2400 2401 6179 2917 2918
1263 _cstring -1 f b A f , 2275 0 i x 0 750 751 2400 2401 6179 0 0
1266 timetz 12 f b D f , 0 1270 d p 0 1350 1351 2472 2473 0 2911 2912
1270 _timetz -1 f b A f , 1266 0 d x 0 750 751 2400 2401 6179 2911 2912
1560 bit -1 f b V f , 0 1561 i x 0 1564 1565 2456 2457 0 2919 2920
1561 _bit -1 f b A f , 1560 0 i x 0 750 751 2400 2401 6179 2919 2920
1562 varbit -1 f b V t , 0 1563 i x 0 1579 1580 2458 2459 0 2902 2921
1563 _varbit -1 f b A f , 1562 0 i x 0 750 751 2400 2401 6179 2902 2921
1700 numeric -1 f b N f , 0 1231 i m 0 1701 1702 2460 2461 0 2917 2918
1790 refcursor -1 f b U f , 0 2201 i x 0 46 47 2414 2415 0 0 0
2201 _refcursor -1 f b A f , 1790 0 i x 0 750 751 2400 2401 6179 0 0
2202 regprocedure 4 t b N f , 0 2207 i p 0 2212 2213 2446 2447 0 0 0
2203 regoper 4 t b N f , 0 2208 i p 0 2214 2215 2448 2449 0 0 0
2204 regoperator 4 t b N f , 0 2209 i p 0 2216 2217 2450 2451 0 0 0
2205 regclass 4 t b N f , 0 2210 i p 0 2218 2219 2452 2453 0 0 0
2206 regtype 4 t b N f , 0 2211 i p 0 2220 2221 2454 2455 0 0 0
2207 _regprocedure -1 f b A f , 2202 0 i x 0 750 751 2400 2401 6179 0 0
2208 _regoper -1 f b A f , 2203 0 i x 0 750 751 2400 2401 6179 0 0
2209 _regoperator -1 f b A f , 2204 0 i x 0 750 751 2400 2401 6179 0 0
2210 _regclass -1 f b A f , 2205 0 i x 0 750 751 2400 2401 6179 0 0
2211 _regtype -1 f b A f , 2206 0 i x 0 750 751 2400 2401 6179 0 0
2249 record -1 f p P f , 0 2287 d x 0 2290 2291 2402 2403 0 0 0
2275 cstring -2 f p P f , 0 1263 c p 0 2292 2293 2500 2501 0 0 0
2276 any 4 t p P f , 0 0 i p 0 2294 2295 0 0 0 0 0
2277 anyarray -1 f p P f , 0 0 d x 0 2296 2297 2502 2503 0 0 0
2278 void 4 t p P f , 0 0 i p 0 2298 2299 3120 3121 0 0 0
2279 trigger 4 t p P f , 0 0 i p 0 2300 2301 0 0 0 0 0
2280 language_handler 4 t p P f , 0 0 i p 0 2302 2303 0 0 0 0 0
2281 internal 8 t p P f , 0 0 d p 0 2304 2305 0 0 0 0 0
2283 anyelement 4 t p P f , 0 0 i p 0 2312 2313 0 0 0 0 0
2287 _record -1 f p P f , 2249 0 d x 0 750 751 2400 2401 6179 0 0
2776 anynonarray 4 t p P f , 0 0 i p 0 2777 2778 0 0 0 0 0
2949 _txid_snapshot -1 f b A f , 2970 0 d x 0 750 751 2400 2401 6179 0 0
2950 uuid 16 f b U f , 0 2951 c p 0 2952 2953 2961 2962 0 0 0
2951 _uuid -1 f b A f , 2950 0 i x 0 750 751 2400 2401 6179 0 0
2970 txid_snapshot -1 f b U f , 0 2949 d x 0 2939 2940 2941 2942 0 0 0
3115 fdw_handler 4 t p P f , 0 0 i p 0 3116 3117 0 0 0 0 0
3220 pg_lsn 8 t b U f , 0 3221 d p 0 3229 3230 3238 3239 0 0 0
3221 _pg_lsn -1 f b A f , 3220 0 d x 0 750 751 2400 2401 6179 0 0
3310 tsm_handler 4 t p P f , 0 0 i p 0 3311 3312 0 0 0 0 0
3361 pg_ndistinct -1 f b Z f , 0 0 i x 100 3355 3356 3357 3358 0 0 0
3402 pg_dependencies -1 f b Z f , 0 0 i x 100 3404 3405 3406 3407 0 0 0
3500 anyenum 4 t p P f , 0 0 i p 0 3504 3505 0 0 0 0 0
3614 tsvector -1 f b U f , 0 3643 i x 0 3610 3611 3639 3638 0 0 0
3615 tsquery -1 f b U f , 0 3645 i p 0 3612 3613 3641 3640 0 0 0
3642 gtsvector -1 f b U f , 0 3644 i p 0 3646 3647 0 0 0 0 0
3643 _tsvector -1 f b A f , 3614 0 i x 0 750 751 2400 2401 6179 0 0
3644 _gtsvector -1 f b A f , 3642 0 i x 0 750 751 2400 2401 6179 0 0
3645 _tsquery -1 f b A f , 3615 0 i x 0 750 751 2400 2401 6179 0 0
3734 regconfig 4 t b N f , 0 3735 i p 0 3736 3737 3738 3739 0 0 0
3735 _regconfig -1 f b A f , 3734 0 i x 0 750 751 2400 2401 6179 0 0
3769 regdictionary 4 t b N f , 0 3770 i p 0 3771 3772 3773 3774 0 0 0
3770 _regdictionary -1 f b A f , 3769 0 i x 0 750 751 2400 2401 6179 0 0
3802 jsonb -1 f b U f , 0 3807 i x 0 3806 3804 3805 3803 6098 0 0
3807 _jsonb -1 f b A f , 3802 0 i x 0 750 751 2400 2401 6179 0 0
3831 anyrange -1 f p P f , 0 0 d x 0 3832 3833 0 0 0 0 0
3838 event_trigger 4 t p P f , 0 0 i p 0 3594 3595 0 0 0 0 0
3904 int4range -1 f r R f , 0 3905 i x 0 3834 3835 3836 3837 0 0 0
3905 _int4range -1 f b A f , 3904 0 i x 0 750 751 2400 2401 6179 0 0
3906 numrange -1 f r R f , 0 3907 i x 0 3834 3835 3836 3837 0 0 0
3907 _numrange -1 f b A f , 3906 0 i x 0 750 751 2400 2401 6179 0 0
3908 tsrange -1 f r R f , 0 3909 d x 0 3834 3835 3836 3837 0 0 0
3909 _tsrange -1 f b A f , 3908 0 d x 0 750 751 2400 2401 6179 0 0
3910 tstzrange -1 f r R f , 0 3911 d x 0 3834 3835 3836 3837 0 0 0
3911 _tstzrange -1 f b A f , 3910 0 d x 0 750 751 2400 2401 6179 0 0
3912 daterange -1 f r R f , 0 3913 i x 0 3834 3835 3836 3837 0 0 0
3913 _daterange -1 f b A f , 3912 0 i x 0 750 751 2400 2401 6179 0 0
3926 int8range -1 f r R f , 0 3927 d x 0 3834 3835 3836 3837 0 0 0
3927 _int8range -1 f b A f , 3926 0 d x 0 750 751 2400 2401 6179 0 0
4072 jsonpath -1 f b U f , 0 4073 i x 0 4001 4003 4002 4004 0 0 0
4073 _jsonpath -1 f b A f , 4072 0 i x 0 750 751 2400 2401 6179 0 0
4089 regnamespace 4 t b N f , 0 4090 i p 0 4084 4085 4087 4088 0 0 0
4090 _regnamespace -1 f b A f , 4089 0 i x 0 750 751 2400 2401 6179 0 0
4096 regrole 4 t b N f , 0 4097 i p 0 4098 4092 4094 4095 0 0 0
4097 _regrole -1 f b A f , 4096 0 i x 0 750 751 2400 2401 6179 0 0
4191 regcollation 4 t b N f , 0 4192 i p 0 4193 4194 4196 4197 0 0 0
4192 _regcollation -1 f b A f , 4191 0 i x 0 750 751 2400 2401 6179 0 0
4451 int4multirange -1 f m R f , 0 6150 i x 0 4231 4232 4233 4234 0 0 0
4532 nummultirange -1 f m R f , 0 6151 i x 0 4231 4232 4233 4234 0 0 0
4533 tsmultirange -1 f m R f , 0 6152 d x 0 4231 4232 4233 4234 0 0 0
4534 tstzmultirange -1 f m R f , 0 6153 d x 0 4231 4232 4233 4234 0 0 0
4535 datemultirange -1 f m R f , 0 6155 i x 0 4231 4232 4233 4234 0 0 0
4536 int8multirange -1 f m R f , 0 6157 d x 0 4231 4232 4233 4234 0 0 0
4537 anymultirange -1 f p P f , 0 0 d x 0 4229 4230 0 0 0 0 0
4538 anycompatiblemultirange -1 f p P f , 0 0 d x 0 4226 4227 0 0 0 0 0
4600 pg_brin_bloom_summary -1 f b Z f , 0 0 i x 100 4596 4597 4598 4599 0 0 0
4601 pg_brin_minmax_multi_summary -1 f b Z f , 0 0 i x 100 4638 4639 4640 4641 0 0 0
5017 pg_mcv_list -1 f b Z f , 0 0 i x 100 5018 5019 5020 5021 0 0 0
5038 pg_snapshot -1 f b U f , 0 5039 d x 0 5055 5056 5057 5058 0 0 0
5039 _pg_snapshot -1 f b A f , 5038 0 d x 0 750 751 2400 2401 6179 0 0
5069 xid8 8 t b U f , 0 271 d p 0 5070 5081 5082 5083 0 0 0
5077 anycompatible 4 t p P f , 0 0 i p 0 5086 5087 0 0 0 0 0
5078 anycompatiblearray -1 f p P f , 0 0 d x 0 5088 5089 5090 5091 0 0 0
5079 anycompatiblenonarray 4 t p P f , 0 0 i p 0 5092 5093 0 0 0 0 0
5080 anycompatiblerange -1 f p P f , 0 0 d x 0 5094 5095 0 0 0 0 0
6150 _int4multirange -1 f b A f , 4451 0 i x 0 750 751 2400 2401 6179 0 0
6151 _nummultirange -1 f b A f , 4532 0 i x 0 750 751 2400 2401 6179 0 0
6152 _tsmultirange -1 f b A f , 4533 0 d x 0 750 751 2400 2401 6179 0 0
6153 _tstzmultirange -1 f b A f , 4534 0 d x 0 750 751 2400 2401 6179 0 0
6155 _datemultirange -1 f b A f , 4535 0 i x 0 750 751 2400 2401 6179 0 0
6157 _int8multirange -1 f b A f , 4536 0 d x 0 750 751 2400 2401 6179 0 0
"""
"""Rows of pg_type, as `shardrouter.catalogs.builtin` names their columns."""
