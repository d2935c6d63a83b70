"""Configuration: Erlang terms or YAML, or the command line, into the frozen settings of ``model``.

    terms            the terms that both file formats are read into, each with its line
    erlang_scanner, erlang_terms, yaml_terms
                     the two readers
    source, files, command_line
                     the sources of settings: a file, or the options of the command line
    pem              the certificates and keys in the files that the settings name
    document, includes, macros
                     ejabberd's layer: includes, macros, options of single hosts
    own_files        which files are wsgw's own and which are ejabberd's; unknown names in them
    placeholder_syntax, placeholders
                     placeholders that a template still contains
    listeners, hosts, host_meta, server_facts
                     the parts of an ejabberd configuration that wsgw uses
    ejabberd_names, spelling
                     the names that only ejabberd knows, and misspelled names
    option_types, network_types, tls_types, option
                     the types of values, and the shape of an option
    listening_options, session_options, upstream_options, gateway_options, options
                     the option table
    admin_options    the options of the admin listener
    precedence, cross_checks, origins, interpret, advice
                     from terms to settings; all errors are collected
    remark           what an admin should change in settings that can be used
    describe         the output of ``wsgw check`` and ``wsgw options``

The room raises ``ConfigError`` and opens no socket.
"""

from __future__ import annotations

from pathlib import Path

from wsgw.config.command_line import from_arguments
from wsgw.config.describe import describe, options_table
from wsgw.config.document import read_document
from wsgw.config.files import find_config
from wsgw.config.interpret import interpret
from wsgw.config.model import Config
from wsgw.config.terms import Problems

__all__ = ["describe", "find_config", "from_arguments", "load", "options_table"]


def load(path: Path) -> Config:
    """Read the configuration ``path``. Raises ConfigError with every error in it and in its includes.

    ``.yml`` and ``.yaml`` are YAML; ``.cfg``, ``.config`` and ``.terms`` are Erlang terms. The format of
    any other file is recognised from its first option.
    """
    problems = Problems()
    config = interpret(read_document(path, problems), problems)
    problems.raise_if_any()
    return config
