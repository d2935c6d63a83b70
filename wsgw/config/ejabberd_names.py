"""The names in configurations of ejabberd, from version 2.1 (Erlang terms) to 26 (YAML).

A warning about a misspelled option must not name an option that ejabberd has. For an option of
``ejabberd_http`` in a listener of wsgw, a warning says which option of wsgw takes its place.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Options at the top level.
TOP_LEVEL: Final = _words(
    """
    access access_rules acl acme allow_contrib_modules allow_multiple_connections anonymous_protocol
    api_permissions append_host_config auth_cache_life_time auth_cache_missed auth_cache_size
    auth_external_user_exists_check auth_method auth_opts auth_password_format
    auth_password_types_hidden_in_sasl1 auth_password_types_hidden_in_scram1 auth_scram_hash
    auth_stored_password_types auth_use_cache
    c2s_cafile c2s_ciphers c2s_dhfile c2s_protocol_options c2s_tls_compression ca_file ca_path
    cache_life_time cache_missed cache_size captcha_cmd captcha_host captcha_limit captcha_url certfiles
    cluster_backend cluster_name cluster_nodes commands commands_admin_access
    default_db default_ram_db define_keyword define_macro disable_sasl_mechanisms
    disable_sasl_scram_downgrade_protection domain_balancing domain_balancing_component_number
    domain_certfile ejabberdctl_access_commands ext_api_headers ext_api_http_pool_size ext_api_path_oauth
    ext_api_url extauth_cache extauth_instances extauth_pool_name extauth_pool_size extauth_program
    fqdn hide_sensitive_log_data host host_config hosts hosts_alias include_config_file
    install_contrib_modules jwt_auth_only_rule jwt_jid_field jwt_key language
    ldap_backups ldap_base ldap_deref_aliases ldap_dn_filter ldap_encrypt ldap_filter ldap_local_filter
    ldap_password ldap_port ldap_rootdn ldap_servers ldap_tls_cacertfile ldap_tls_certfile ldap_tls_depth
    ldap_tls_verify ldap_uidattr ldap_uidattr_format ldap_uids
    listen log_burst_limit_count log_burst_limit_window_time log_modules_fully log_path log_rate_limit
    log_rotate_count log_rotate_date log_rotate_size loglevel
    max_fsm_queue modules negotiation_timeout net_ticktime new_sql_schema node_start node_type
    oauth_access oauth_cache_life_time oauth_cache_missed oauth_cache_rest_failure_life_time
    oauth_cache_size oauth_client_id_check oauth_db_type oauth_expire oauth_use_cache
    odbc_database odbc_keepalive_interval odbc_password odbc_pool_size odbc_port odbc_query_timeout
    odbc_server odbc_ssl odbc_start_interval odbc_type odbc_username oom_killer oom_queue oom_watermark
    outgoing_s2s_families outgoing_s2s_ipv4_address outgoing_s2s_ipv6_address outgoing_s2s_local_address
    outgoing_s2s_options outgoing_s2s_port outgoing_s2s_timeout override_acls override_global
    override_local pam_service pam_userinfotype pgsql_users_number_estimate queue_dir queue_type
    redis_connect_timeout redis_db redis_password redis_pool_size redis_port redis_queue_type
    redis_reconnect_timeout redis_server registration_timeout resource_conflict rest_proxy
    rest_proxy_password rest_proxy_port rest_proxy_username
    riak_cacertfile riak_pool_size riak_port riak_server riak_start_interval riak_username riak_password
    route_subdomains router_cache_life_time router_cache_missed router_cache_size router_db_type
    router_use_cache rpc_timeout
    s2s_access s2s_cafile s2s_certfile s2s_ciphers s2s_default_policy s2s_dhfile s2s_dns_options
    s2s_dns_retries s2s_dns_timeout s2s_host s2s_max_retry_delay s2s_policy s2s_protocol_options
    s2s_queue_type
    s2s_timeout s2s_tls_compression s2s_use_starttls s2s_zlib service_check_from shaper shaper_rules
    shared_key sm_cache_life_time sm_cache_missed sm_cache_size sm_db_type sm_use_cache
    sql_connect_timeout sql_database sql_flags sql_keepalive_interval sql_odbc_driver sql_password
    sql_pool_size sql_port sql_prepared_statements sql_query_timeout sql_queue_type
    sql_schema_multihost sql_server sql_ssl sql_ssl_cafile sql_ssl_certfile sql_ssl_verify
    sql_start_interval sql_type sql_username
    trusted_proxies update_sql_schema use_cache use_macro validate_stream version watchdog_admins
    watchdog_large_heap websocket_origin websocket_ping_interval websocket_timeout
    """
)

#: Modules of ejabberd's listeners.
LISTENERS: Final = _words(
    """
    ejabberd_c2s ejabberd_frontend_socket ejabberd_http ejabberd_s2s_in ejabberd_service ejabberd_sip
    ejabberd_stun ejabberd_xmlrpc mod_irc mod_mqtt mod_proxy65_stream mod_telnet
    """
)

_ELSEWHERE: Final = "ejabberd answers for it itself, in an ejabberd_http listener on another port"
_USERS: Final = "the rules of the XMPP server's ejabberd_c2s listener count for web users too"
_NO_COMPRESSION: Final = "wsgw compresses nothing"
_NOT_NEEDED: Final = "nothing replaces it; remove it"

#: Option of any of ejabberd's listeners → its substitute, as the end of a sentence.
LISTENER_OPTIONS: Final = {
    **dict.fromkeys(("captcha", "http_bind", "http_poll", "register", "web_admin"), _ELSEWHERE),
    **dict.fromkeys(("access_commands", "commands_admin_access", "docroot", "xmlrpc"), _ELSEWHERE),
    **dict.fromkeys(("access", "shaper_rule", "max_user_sessions"), _USERS),
    **dict.fromkeys(("tls_compression", "zlib"), _NO_COMPRESSION),
    **dict.fromkeys(("starttls", "starttls_required"), "browsers have TLS from the first byte: write tls"),
    **dict.fromkeys(("tag", "supervisor", "check_from", "server_host", "auth_realm"), _NOT_NEEDED),
    **dict.fromkeys(("password", "service_check_from"), _NOT_NEEDED),
    **dict.fromkeys(("allow_unencrypted_sasl2", "auth_type", "sock_peer_name"), _NOT_NEEDED),
    "dhfile": "wsgw exchanges keys by elliptic curves, which need no file",
    "verify": "the option for certificates of clients is tls_verify, for that of the server upstream_verify",
    "inet": "wsgw listens on IPv4 unless ip or inet6 is set",
    "default_host": "clients name their domain in the stream header; the domains served are in hosts",
    "custom_headers": "let a proxy in front add headers",
    "unix_socket": "wsgw listens on a port: give port and ip",
    "accept_interval": "max_connect_rate_per_ip limits new connections",
    "max_fsm_queue": "send_buffer_high limits the data queued for a client",
    "max_payload_size": "max_stanza_size limits the stanzas of a client",
    "max_connections": "max_sessions limits connections",
    "timeout": "websocket_timeout and handshake_timeout limit quiet time",
    "recv_timeout": "websocket_timeout and handshake_timeout limit quiet time",
    "max_ack_queue": "stream management is the XMPP server's",
    "resend_on_timeout": "stream management is the XMPP server's",
    "resume_timeout": "stream management is the XMPP server's",
    "max_resume_timeout": "stream management is the XMPP server's",
    "stream_management": "stream management is the XMPP server's",
}

_RULE: Final = (
    "rules by user belong to the XMPP server's ejabberd_c2s listener; "
    "here shaper is bytes per second, or the name of a shaper"
)
_OWN_WEBSOCKET: Final = "that is ejabberd's own WebSocket; for wsgw's write mod_websocket"
#: The advice for single request handlers of ejabberd.
_HANDLERS: Final = dict.fromkeys(("ejabberd_http_ws", "ejabberd_http_wsjson"), _OWN_WEBSOCKET)


def instead_of_option(name: str) -> str:
    """The advice for an option in ``LISTENER_OPTIONS``, or for a ``shaper`` that names a rule by user."""
    return LISTENER_OPTIONS.get(name, _RULE)


def instead_of_handler(module: str) -> str:
    """The advice for the request handler ``module``, which is not wsgw's."""
    return _HANDLERS.get(module, "leave it to an ejabberd_http listener on another port")
