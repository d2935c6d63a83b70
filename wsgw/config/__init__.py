"""Configuration: Erlang terms or YAML, or the command line, into the frozen settings of ``model``.

    terms            the form both file formats are read into, each term with its line
    erlang_scanner, erlang_terms, yaml_terms
                     the two readers
    source, files, command_line
                     where the settings come from: a file, or the options of the command line
    pem              certificates and keys in the files that the settings name
    document, includes, macros
                     ejabberd's layer: includes, macros, options of single hosts
    own_files        what is no option in the gateway's own file, or nearly one in ejabberd's
    placeholder_syntax, placeholders
                     what was never filled in
    listeners, hosts, server_facts
                     what of it concerns the gateway
    ejabberd_names, spelling
                     what is ejabberd's own, and what is nearly ours
    option_types, network_types, options
                     the option table
    precedence, cross_checks, origins, interpret, advice
                     from terms to settings, all mistakes at once
    describe         what ``check`` and ``options`` print

Its errors are ``ConfigError``. It opens no socket.
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
    """Read the configuration ``path``; raises ConfigError with every problem of it and its includes.

    ``.yml`` and ``.yaml`` are YAML, ``.cfg`` is Erlang terms; others are told apart by their beginning.
    """
    problems = Problems()
    config = interpret(read_document(path, problems), problems)
    problems.raise_if_any()
    return config
